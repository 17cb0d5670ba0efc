;; Every package of the channel, but of the two that hold a program of the same name one only.
(specifications->manifest
 (list "senv-hello" "senv-coreutils" "senv-bash" "senv-grep" "senv-sed" "senv-search-paths" "senv-many"
       "senv-pingpong-openmpi" "mpich@4.0.2" "openmpi@4.1.4"))
