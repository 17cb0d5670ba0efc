(specifications->manifest (list "senv-pingpong-openmpi" "senv-coreutils" "senv-bash"))
