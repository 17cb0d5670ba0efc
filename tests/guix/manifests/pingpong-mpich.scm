(specifications->manifest (list "senv-pingpong-mpich" "senv-coreutils" "senv-bash"))
