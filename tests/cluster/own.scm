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

;; The beginning of a program for aarch64.
(define-public own-foreign
  (package
    (inherit own-lib)
    (name "own-foreign")
    (source #f)
    (arguments
     (list #:builder
           #~(begin
               (use-modules (ice-9 binary-ports) (rnrs bytevectors))
               (mkdir #$output)
               (mkdir (string-append #$output "/bin"))
               (let ((file (string-append #$output "/bin/own-foreign")))
                 (call-with-output-file file
                   (lambda (port)
                     (put-bytevector port #vu8(127 69 76 70 2 1 1 0 0 0 0 0 0 0 0 0 2 0 183 0 1 0 0 0))
                     (put-bytevector port (make-bytevector 4096 0)))
                   #:binary #t)
                 (chmod file #o555)))))))

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
