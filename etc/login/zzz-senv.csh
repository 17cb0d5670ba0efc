# zzz-senv.csh: for /etc/csh/login.d (Debian) or /etc/profile.d (Red Hat), where it is to be read last. As zzz-senv.sh, of PATH
# only: the profile's own file is for shells like sh.
if ($?SENV_ENVIRONMENT) then
    if ("$SENV_ENVIRONMENT" =~ /gnu/store/?* && "$PATH" !~ "$SENV_ENVIRONMENT"/*) then
        if (-d "$SENV_ENVIRONMENT/sbin") setenv PATH "${SENV_ENVIRONMENT}/sbin:$PATH"
        if (-d "$SENV_ENVIRONMENT/bin") setenv PATH "${SENV_ENVIRONMENT}/bin:$PATH"
    endif
endif
