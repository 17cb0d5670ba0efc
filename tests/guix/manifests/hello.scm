(specifications->manifest (list "senv-hello" "senv-coreutils" "senv-bash"))
