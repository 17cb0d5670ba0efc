# zzz-senv.sh: for /etc/profile.d, where it is to be read last. A login shell sets PATH anew: inside an environment of senv
# ("#!/bin/bash -l"), the environment comes in front again. Elsewhere it does nothing.
case ${SENV_ENVIRONMENT-} in
    '' | /gnu/store/*/*) ;;
    /gnu/store/?*)
        case ${PATH-} in
            "$SENV_ENVIRONMENT"/*) ;;
            *)
                if [ -r "$SENV_ENVIRONMENT/etc/profile" ]; then
                    GUIX_PROFILE=$SENV_ENVIRONMENT
                    . "$SENV_ENVIRONMENT/etc/profile"
                    unset GUIX_PROFILE
                fi
                ;;
        esac
        ;;
esac
