(specifications->manifest (list "senv-search-paths" "senv-coreutils" "senv-bash"))
