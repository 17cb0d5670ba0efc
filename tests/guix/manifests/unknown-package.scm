(specifications->manifest (list "senv-hello" "no-such-package"))
