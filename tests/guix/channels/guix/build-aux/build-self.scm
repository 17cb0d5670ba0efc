;;; What `guix pull` and `guix time-machine` load from a channel named "guix": a procedure that gives the derivation of
;;; that Guix. This one has nothing but bin/guix, which runs the Guix that is installed, but as the one of the profile
;;; it stands in: so it knows its channels.

(use-modules (guix gexp) (guix monads) (guix store))

(lambda* (source #:key version #:allow-other-keys)
  ;; Guix takes a derivation without an input named "guix-command" for one from before 2018.
  (define command
    (computed-file "guix-command"
                   #~(begin
                       (copy-file (string-append #$source "/guix-command") #$output)
                       (chmod #$output #o555))))

  (gexp->derivation (string-append "guix-" (string-take version 9))
                    #~(begin
                        (mkdir #$output)
                        (mkdir (string-append #$output "/bin"))
                        (symlink #$command (string-append #$output "/bin/guix")))
                    #:local-build? #t))
