(specifications->manifest (list "senv-hello"))
