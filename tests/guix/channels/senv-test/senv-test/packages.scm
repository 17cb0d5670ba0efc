;;; Packages of the channel senv-test. Their contents are Debian 12's, laid out by tests/guix/stage in
;;; /srv/channels/contents; what happens here is what makes them Guix packages: each is patched to find its loader and
;;; its libraries in the store and nowhere else.

(define-module (senv-test packages)
  #:use-module (guix base32)
  #:use-module (guix build-system trivial)
  #:use-module (guix gexp)
  #:use-module ((guix licenses) #:prefix license:)
  #:use-module (guix packages)
  #:use-module (guix search-paths)
  #:use-module (guix store)
  #:use-module (ice-9 match)
  #:use-module (senv-test contents)
  #:use-module (srfi srfi-1))


;;; Contents.

;; An origin method: copies a folder. The result is addressed by its hash, so evaluating a package reads nothing of the
;; folder, and once built it is there for every user.
(define* (copy-fetch folder hash-algo hash #:optional name #:key (system (%current-system)) #:allow-other-keys)
  (gexp->derivation name
                    (with-imported-modules '((guix build utils))
                      #~(begin
                          (use-modules (guix build utils))
                          (copy-recursively #$folder #$output #:log (%make-void-port "w"))))
                    #:system system
                    #:hash-algo hash-algo #:hash hash #:recursive? #t
                    #:local-build? #t))

(define (contents name)
  (origin
    (method copy-fetch)
    (uri (string-append "/srv/channels/contents/" name))
    (file-name (string-append name "-contents"))
    (hash (content-hash (nix-base32-string->bytevector (contents-hash name)) sha256))))

;; The common part of all packages below. INPUTS are in the rpath of every program and library, so the closure has the
;; references that a real package would have. FILES says which ELF files to patch.
(define* (debian-package name #:key
                         (contents-name name)
                         (version (contents-version contents-name))
                         (runtime senv-runtime) (patchelf senv-patchelf)
                         (inputs '()) (propagated-inputs '()) (search-paths '())
                         (files "") (more-libraries '())
                         (synopsis "Debian's files as a Guix package"))
  (package
    (name name)
    (version version)
    (source (contents contents-name))
    (build-system trivial-build-system)
    (arguments
     (list
      #:modules '((guix build utils))
      #:builder
      #~(begin
          (use-modules (guix build utils) (srfi srfi-1) (srfi srfi-26))
          (define runtime (string-append #$(or runtime #~#$output) "/lib"))
          (define loader (string-append runtime "/ld-linux-x86-64.so.2"))
          (define (patchelf . args)
            (zero? (apply system* #$(file-append patchelf "/lib/ld-linux-x86-64.so.2")
                          "--library-path" #$(file-append patchelf "/lib") #$(file-append patchelf "/bin/patchelf")
                          args)))
          (define rpath
            (string-join (delete-duplicates
                          (append (map (cut string-append #$output <>) '("/lib" #$@more-libraries))
                                  (list runtime)
                                  (map (cut string-append <> "/lib")
                                       (list #$@inputs #$@propagated-inputs))))
                         ":"))

          (copy-recursively #$(contents contents-name) #$output #:log (%make-void-port "w"))
          (for-each (lambda (file)
                      (when (and (elf-file? file) (not (symbolic-link? file)))
                        (make-file-writable file)
                        (when (patchelf "--print-interpreter" file)           ;shared libraries have none
                          (unless (patchelf "--set-interpreter" loader file)
                            (error "cannot set the interpreter of" file)))
                        (unless (patchelf "--set-rpath" rpath file)
                          (error "cannot set the rpath of" file))))
                    (find-files #$output #$files)))))
    (inputs inputs)
    (propagated-inputs propagated-inputs)
    (native-search-paths search-paths)
    (home-page "https://packages.debian.org/bookworm/")
    (synopsis synopsis)
    (description "Files of a Debian 12 package, made to live in the store.  For tests of senv only.")
    (license license:gpl3+)))

(define (single-directory variable directory)
  (search-path-specification (variable variable) (files (list directory)) (separator #f)))


;;; The C library and what lies directly above it.

(define-public senv-patchelf
  ;; Unpatched, with libraries of its own: only ever started through its loader, while other packages are built.
  (package
    (inherit (debian-package "senv-patchelf" #:runtime #f #:patchelf #f))
    (arguments
     (list #:modules '((guix build utils))
           #:builder #~(begin
                         (use-modules (guix build utils))
                         (copy-recursively #$(contents "senv-patchelf") #$output #:log (%make-void-port "w")))))))

(define-public senv-runtime
  ;; Patching the C library itself would break it, and it needs nothing.
  (debian-package "senv-runtime" #:runtime #f #:files "^lib(stdc\\+\\+|gcc_s|atomic)\\.so"
                  #:synopsis "C library and compiler run-time libraries"))

(define-public senv-zlib (debian-package "senv-zlib"))
(define-public senv-munge (debian-package "senv-munge"))
(define-public senv-numactl (debian-package "senv-numactl"))
(define-public senv-ncurses (debian-package "senv-ncurses"))
(define-public senv-pcre2 (debian-package "senv-pcre2"))
(define-public senv-attr (debian-package "senv-attr"))
(define-public senv-libselinux (debian-package "senv-libselinux" #:inputs (list senv-pcre2)))
(define-public senv-libevent (debian-package "senv-libevent"))
(define-public senv-hwloc (debian-package "senv-hwloc"))

(define-public senv-bash (debian-package "senv-bash" #:inputs (list senv-ncurses)))
(define-public senv-coreutils (debian-package "senv-coreutils" #:inputs (list senv-attr senv-libselinux)))
(define-public senv-grep (debian-package "senv-grep" #:inputs (list senv-pcre2)))
(define-public senv-sed (debian-package "senv-sed" #:inputs (list senv-attr senv-libselinux)))


;;; MPI.

(define-public senv-openpmix
  (debian-package "senv-openpmix"
                  #:inputs (list senv-munge senv-libevent senv-hwloc senv-zlib)
                  ;; Debian's PMIx has absolute folders built in, so its prefix alone moves nothing but the rest.
                  #:search-paths (list (single-directory "PMIX_PREFIX" "lib/pmix-prefix")
                                       (single-directory "PMIX_LIBDIR" "lib/pmix-prefix/lib")
                                       (single-directory "PMIX_DATADIR" "lib/pmix-prefix/share")
                                       (single-directory "PMIX_SYSCONFDIR" "lib/pmix-prefix/etc"))))

(define-public openmpi
  (debian-package "openmpi"
                  #:inputs (list senv-libevent senv-hwloc senv-zlib)
                  #:propagated-inputs (list senv-openpmix)
                  ;; The sysconfdir is absolute in Debian: OPAL_PREFIX does not move it.
                  #:search-paths (list (single-directory "OPAL_PREFIX" "lib/openmpi-prefix")
                                       (single-directory "OPAL_SYSCONFDIR" "lib/openmpi-prefix/etc"))
                  #:synopsis "Open MPI, TCP and shared memory only"))

(define-public senv-ucx (debian-package "senv-ucx" #:inputs (list senv-numactl)))

(define-public mpich
  (debian-package "mpich" #:inputs (list senv-hwloc senv-ucx senv-numactl)
                  #:synopsis "MPICH over UCX"))

(define-public senv-pingpong-openmpi
  (debian-package "senv-pingpong-openmpi" #:propagated-inputs (list openmpi)
                  #:synopsis "Ping-pong benchmark for Open MPI"))

(define-public senv-pingpong-mpich
  (debian-package "senv-pingpong-mpich" #:inputs (list mpich)
                  #:synopsis "Ping-pong benchmark for MPICH"))


;;; The package that differs between the channel's commits.

(define-public senv-hello
  (debian-package "senv-hello" #:version hello-version
                  #:contents-name (string-append "senv-hello-" hello-version)
                  #:synopsis "Program that says its version and where it is"))


;;; Search paths of every kind.

(define* (text-package name files #:key (version "1.0") (inputs '()) (propagated-inputs '()) (search-paths '()))
  "A package that holds FILES, a list of (NAME . TEXT), where TEXT may be a gexp."
  (package
    (name name)
    (version version)
    (source #f)
    (build-system trivial-build-system)
    (arguments
     (list #:modules '((guix build utils))
           #:builder
           #~(begin
               (use-modules (guix build utils) (ice-9 match))
               (for-each (match-lambda
                           ((name text)
                            (let ((file (string-append #$output "/" name)))
                              (mkdir-p (dirname file))
                              (call-with-output-file file (lambda (port) (display text port)))
                              (when (member (basename (dirname file)) '("bin" "sbin"))
                                (chmod file #o755)))))
                         (list #$@(map (match-lambda ((name . text) #~(list #$name #$text)))
                                       files))))))
    (inputs inputs)
    (propagated-inputs propagated-inputs)
    (native-search-paths search-paths)
    (home-page "https://packages.debian.org/bookworm/")
    (synopsis "Files that tests look for")
    (description "Small files.  For tests of senv only.")
    (license license:gpl3+)))

(define directories
  ;; Two folders in this order, also when only one of them exists.
  (search-path-specification (variable "SENV_TEST_DIRS") (files '("share/senv/first" "share/senv/second"))))

(define-public senv-search-paths-propagated
  (text-package "senv-search-paths-propagated"
                '(("share/senv/second/from-propagated" . "second\n")
                  ("share/senv/propagated/file" . "propagated\n")
                  ("xml/deep/catalog-c.xml" . "<c/>\n"))
                #:search-paths
                (list directories                             ;the same as below: to be exported once
                      (search-path-specification (variable "SENV_TEST_PROPAGATED")
                                                 (files '("share/senv/propagated"))))))

(define-public senv-search-paths
  (text-package "senv-search-paths"
                `(("share/senv/first/file" . "first\n")
                  ("share/senv/second/file" . "second\n")
                  ("xml/catalog-b.xml" . "<b/>\n")
                  ("xml/catalog-a.xml" . "<a/>\n")
                  ("xml/other.xml" . "<other/>\n")             ;does not match the pattern
                  ("etc/senv/one.conf" . "one\n")
                  ("etc/senv/two.conf" . "two\n")
                  ("lib/senv-plugins/plugin" . "plugin\n")
                  ("sbin/senv-sbin" . ,#~(string-append "#!" #$senv-bash "/bin/sh\necho senv-sbin\n")))
                #:propagated-inputs (list senv-search-paths-propagated)
                #:inputs (list senv-bash)
                #:search-paths
                (list directories
                      (search-path-specification (variable "SENV_TEST_CATALOGS") (files '("xml"))
                                                 (separator " ") (file-type 'regular)
                                                 (file-pattern "^catalog-.*\\.xml$"))
                      (search-path-specification (variable "SENV_TEST_FILE")
                                                 (files '("etc/senv/one.conf" "etc/senv/two.conf"))
                                                 (separator #f) (file-type 'regular))
                      (single-directory "SENV_TEST_DIR" "lib/senv-plugins")
                      (search-path-specification (variable "SENV_TEST_ABSENT") (files '("share/senv/absent"))))))


;;; A closure of many small items: part N refers to part N/2, so it is six levels deep.

(define many-parts 40)

(define parts
  (let loop ((n 1) (made '()))
    (if (> n many-parts)
        (reverse made)
        (loop (+ n 1)
              (cons (let ((below (and (> n 1) (list-ref (reverse made) (- (quotient n 2) 1)))))
                      (text-package (string-append "senv-part-" (number->string n))
                                    `(("share/senv-parts/below" . ,(if below #~#$below "none\n"))
                                      ;; 1 to 40 KiB that do not compress to nothing
                                      ("share/senv-parts/data"
                                       . ,#~(let ((state (seed->random-state #$n)))
                                              (list->string
                                               (map (lambda _ (integer->char (+ 33 (random 90 state))))
                                                    (iota (* 1024 #$n)))))))))
                    made)))))

(define-public senv-many
  (text-package "senv-many"
                `(("share/senv-many/parts" . ,#~(string-join (list #$@parts) "\n" 'suffix)))))
