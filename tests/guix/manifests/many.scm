(specifications->manifest (list "senv-many" "senv-coreutils" "senv-bash"))
