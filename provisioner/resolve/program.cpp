#include "provisioner/resolve/program.h"

#include "provisioner/scheme_data.h"

namespace senv {

namespace {

// load* prints what is wrong and throws 'quit; caught here, or the outer load* would add its own complaint.
constexpr std::string_view beginning = R"scm(
(use-modules (guix packages) (guix profiles) (guix ui) (gnu packages) (ice-9 match) (srfi srfi-1))

(define (give-up . _)
  (force-output (current-error-port))
  (primitive-exit 1))
(define (refuse message . arguments)
  (format (current-error-port) "guix build: error: ~a~%" (apply format #f message arguments))
  (give-up))
(define (guarded thunk)
  (catch 'quit (lambda () (call-with-error-handling thunk)) give-up))
)scm";

constexpr std::string_view without_transformations = R"scm(
(define transform identity)
(define transformed identity)
)scm";

// Each word is parsed as the command line option that it stands for. An entry of a manifest keeps properties of its own.
constexpr std::string_view with_transformations = R"scm(
(use-modules (guix scripts) (guix transformations) (guix utils) (srfi srfi-26) (srfi srfi-37))

(define names
  (delete "help-transform" (filter string? (append-map option-names %transformation-options))))
(define (refuse-unless-known word)
  (let ((name (car (string-split word #\=))))
    (unless (member name names)
      (refuse "this Guix has no transformation '~a'~a; it has ~a~a" name
              (if (string=? name "amd-gpu") ", which exists since 2026-01-25, after 1.5.0" "")
              (string-join names ", ")
              (cond ((string=? name "amd-gpu") "\nhint: use channels of that day or later")
                    ((string-closest name names) => (cut format #f "~%hint: did you mean `~a'?" <>))
                    (else ""))))))
(define transform
  (guarded
   (lambda ()
     (for-each refuse-unless-known words)
     (options->transformation
      (parse-command-line (map (cut string-append "--" <>) words) %transformation-options
                          (list `((system . ,for-system))) #:build-options? #f)))))
(define (transformed entry)
  (let* ((old (manifest-entry-item entry))
         (new (transform old))
         (output (manifest-entry-output entry)))
    (if (eq? old new)
        entry
        (match (alist-delete 'transformations (manifest-entry-properties entry))
          (() (package->manifest-entry new output))
          (properties (package->manifest-entry new output
                                               #:properties `((transformations . ,(assq-ref (package-properties new)
                                                                                            'transformations))
                                                              ,@properties)))))))
)scm";

constexpr std::string_view procedures = R"scm(
(define* (entry package #:optional (output "out"))
  (package->manifest-entry (transform package) output))
(define (manifest-in file)
  (let ((value (load* file (make-user-module '((guix profiles) (gnu))))))
    (unless (manifest? value)
      (refuse "~a does not return a manifest" file))
    (map transformed (manifest-entries value))))
(define (package-named specification)
  (call-with-values (lambda () (specification->package+output specification))
    (lambda (package output)
      (list (entry package output)))))
(define (development-of specification)
  (call-with-values (lambda () (specification->package+output specification))
    (lambda (package output)
      (manifest-entries (package->development-manifest (transform package) for-system)))))
(define (packages-in what value)
  (match value
    ((? package? package) (list (entry package)))
    (((? package? package) (? string? output)) (list (entry package output)))
    ((values ...) (append-map (lambda (value) (packages-in what value)) values))
    ((? manifest?) (refuse "~a is a manifest, want a package or a list of packages~%hint: name it as a manifest" what))
    (_ (refuse "~a is no package and no list of packages" what))))
(define (file-in file)
  (packages-in file (load* file (make-user-module '()))))
(define (expression-in text)
  (packages-in "the expression" (read/eval text)))
(define (same? one other)
  (and (eq? (manifest-entry-item one) (manifest-entry-item other))
       (string=? (manifest-entry-output one) (manifest-entry-output other))))
)scm";

// guix build computes the derivation of what the program returns: of an object of our own, which lets us ask before each build.
constexpr std::string_view planning = R"scm(
(use-modules (guix derivations) (guix gexp) (guix grafts) (guix store) (srfi srfi-9))

(define most-names 20)
(define plan-of                       ;none before Guix 1.1
  (module-variable (resolve-interface '(guix derivations)) 'derivation-build-plan))
(define (local? drv)
  (equal? "1" (assoc-ref (derivation-builder-environment-vars drv) "preferLocalBuild")))
(define (to-build store inputs mode)
  (if plan-of
      (call-with-values (lambda () ((variable-ref plan-of) store inputs #:mode mode))
        (lambda (build . _)
          (reverse (remove local? build))))
      '()))
(define (listing drvs)
  (let* ((names (delete-duplicates (map derivation-name drvs)))
         (more (- (length names) most-names)))
    (if (> more 0)
        (format #f "~a and ~a more" (string-join (list-head names most-names) ", ") more)
        (string-join names ", "))))
(define (ask store inputs mode everything)
  (let ((drvs (to-build store inputs mode)))
    (cond ((null? drvs))
          (may-build?
           (format (current-error-port) "~a~a~%" building-mark (listing drvs)))
          (else
           (refuse "nothing may be built, and no server has ~a~%hint: ~a"
                   (listing (append drvs (to-build store (everything) mode))) how-to-allow)))))
(define (input-of thing)
  (match thing
    (((? derivation-path? file) . outputs)
     (derivation-input (read-derivation-from-file file) (string-split outputs #\,)))
    ((? derivation-path? file)
     (derivation-input (read-derivation-from-file file)))
    (_ #f)))

(define-record-type <asked>
  (asked content)
  asked?
  (content asked-content))
(define-gexp-compiler (asked-compiler (asked <asked>) system target)
  (define (lower store)
    ((lower-object (asked-content asked) system #:target target) store))
  (lambda (store)
    (define (without-grafts)
      (parameterize ((%graft? #f))
        (call-with-values (lambda () (lower store))
          (lambda (drv _) (list (derivation-input drv))))))
    (with-build-handler
        (lambda (continue store things mode)
          (ask store (filter-map input-of things) mode without-grafts)
          (continue #t))
      (call-with-values (lambda () (lower store))
        (lambda (drv store)
          (ask store (list (derivation-input drv)) (build-mode normal) (const '()))
          (values drv store))))))
)scm";

// Calls `procedure` for each of the arguments, the last one first.
void add_calls(std::string& program, std::string_view procedure, const std::vector<std::string>& arguments) {
    for (auto argument = arguments.rbegin(); argument != arguments.rend(); ++argument) {
        program += "\n      (" + std::string(procedure) + " " + scheme_string(*argument) + ")";
    }
}

}  // namespace

std::string profile_program(const Inputs& inputs, const std::vector<std::string>& manifests,
                            const std::vector<std::string>& files, const BuildPolicy& policy) {
    std::string program = "(define for-system " + scheme_string(inputs.system) + ")";
    program += beginning;
    if (inputs.transformations.empty()) {
        program += without_transformations;
    } else {
        program += "\n(define words (list";
        for (const std::string& word : inputs.transformations) program += " " + scheme_string(word);
        program += "))";
        program += with_transformations;
    }
    program += procedures;
    program += "\n(define may-build? " + std::string(policy.build == Build::here ? "#t" : "#f") + ")";
    program += "\n(define how-to-allow " + scheme_string(policy.hint) + ")";
    program += "\n(define building-mark " + scheme_string(building_mark) + ")";
    program += planning;
    program += R"scm(
(define content
  (guarded
   (lambda ()
     (append)scm";
    add_calls(program, "expression-in", inputs.expressions);
    add_calls(program, "file-in", files);
    add_calls(program, "development-of", inputs.development);
    add_calls(program, "package-named", inputs.packages);
    add_calls(program, "manifest-in", manifests);
    return program + R"scm())))
(asked (profile (content (manifest (delete-duplicates content same?))) (allow-collisions? #t)))
)scm";
}

}  // namespace senv
