;;; guix repl -- seeds.scm paths | register PATH...
;;;
;;; Every build needs a Guile and every profile the inputs of its hooks, and none of them can be had without a network. So
;;; their contents are laid, ready, at the very paths that this Guix computes for them. "paths" prints them, "guile PATH"
;;; or "empty PATH" (two Guiles: profiles use one, channels the other; an empty folder will do for a hook's input, since no
;;; hook runs those on profiles without manuals and fonts). It needs the daemon. "register" makes items valid; it
;;; writes to the store's database itself, so it needs the daemon not to run.

(use-modules (guix) (guix config) (guix store database)
             (guix build store-copy) (guix build utils)
             (guix derivations) (guix grafts) (guix packages) (guix profiles)
             (gnu packages guile)
             (ice-9 match) (srfi srfi-1) (srfi srfi-26))

(define (package-path store package)
  (derivation->output-path (package-derivation store package #:graft? #f)))

(define (guile-paths)
  (with-store store
    (delete-duplicates
     (map (cut package-path store <>) (list (default-guile) guile-3.0 guile-3.0-latest)))))

(define (ends-with-version? name)
  (let ((dash (string-rindex name #\-)))
    (and dash (< (+ dash 1) (string-length name))
         (char-numeric? (string-ref name (+ dash 1))))))

;; Packages among what a profile's derivation needs. Hooks are computed files, without a version in their names; module
;; imports are built with the Guile seed.
(define (hook-input-paths known)
  (define package? (compose ends-with-version? derivation-name derivation-input-derivation))
  (define (inputs input) (derivation-inputs (derivation-input-derivation input)))
  (with-store store
    (let* ((something (computed-file "something" #~(mkdir #$output)))
           (manifest (manifest (list (manifest-entry (name "something") (version "0") (item something)))))
           (profile (run-with-store store (profile-derivation manifest)))
           (near (derivation-inputs profile))
           (all (append near (append-map inputs (remove package? near)))))
      (delete-duplicates
       (remove (cut member <> known)
               (append-map derivation-input-output-paths (filter package? all)))))))

(define (register path)
  (reset-timestamps path)                               ;and permissions
  (with-database (store-database-file) db
    (register-items db (list (store-info path #f '()))))
  (let ((root (string-append "/var/guix/gcroots/senv-seeds/" (basename path))))
    (mkdir-p (dirname root))
    (symlink path root)))

(match (command-line)
  ((_ "paths")
   (let ((guiles (guile-paths)))
     (for-each (cut format #t "guile ~a~%" <>) guiles)
     (for-each (cut format #t "empty ~a~%" <>) (hook-input-paths guiles))))
  ((_ "register" paths ...)
   (for-each register paths)))
