;;; Packages whose graph tests change: own-app prints what own-lib holds. Versions and names have the same lengths, so that
;;; one can be grafted in place of the other.
(define-module (own)
  #:use-module (guix build-system trivial)
  #:use-module (guix gexp)
  #:use-module (guix packages)
  #:use-module (senv-test packages))

(define-public own-lib
  (package
    (inherit senv-attr)
    (name "own-lib")
    (version "1")
    (source (plain-file "text" "library 1"))
    (inputs '())
    (arguments
     (list #:builder
           #~(begin
               (mkdir #$output)
               (copy-file #$(package-source this-package) (string-append #$output "/text")))))))

(define-public own-new
  (package (inherit own-lib) (name "own-new") (source (plain-file "text" "new library"))))

(define-public own-app
  (package
    (inherit own-lib)
    (name "own-app")
    (source #f)
    (inputs (list own-lib senv-bash))
    (arguments
     (list #:builder
           #~(begin
               (mkdir #$output)
               (mkdir (string-append #$output "/bin"))
               (let ((file (string-append #$output "/bin/own-app")))
                 (call-with-output-file file
                   (lambda (port)
                     (format port "#!~a/bin/bash~%read -r text <~a/text~%echo \"$text\"~%"
                             #$(this-package-input "senv-bash") #$(this-package-input "own-lib"))))
                 (chmod file #o555)))))))
