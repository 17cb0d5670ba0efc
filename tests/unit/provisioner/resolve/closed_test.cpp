#include "provisioner/resolve/closed.h"

#include <gtest/gtest.h>

#include <string>

namespace senv {
namespace {

const std::string hello = R"((specifications->manifest (list "hello")))";

TEST(ClosedManifest, NamesPackagesOnly) {
    const std::string closed[] = {
        hello,
        R"((specifications->manifest '("hello" "openmpi@4.1:debug")))",
        R"(;; comment
           (specifications->manifest `("a" ,@(list "b" "c"))))",
        "(use-modules (gnu packages base) (gnu packages mpi) (my-lab packages))\n(packages->manifest (list hello "
        "openmpi (list gcc \"lib\")))",
        "(use-modules ((gnu packages base) #:select (hello)))(packages->manifest (list hello))",
        "(use-modules (gnu) (guix profiles) (srfi srfi-1))(manifest (map package->manifest-entry (list hello)))",
        "(packages->manifest (list (@ (gnu packages base) hello)))",
        R"((concatenate-manifests (list (package->development-manifest (specification->package "emacs"))
             (specifications->manifest (list "a")))))",
        R"((packages->manifest (map (compose list specification->package+output) '("a" "b"))))",
        R"((packages->manifest (map (lambda (name) (specification->package name)) '("a" "b"))))",
        R"((define names (list "a" "b"))
           (define (load-them what) (map specification->package what))
           (packages->manifest (load-them (append names '("c")))))",
        R"((let* ((a (list "a")) (b (cons "b" a))) (specifications->manifest b)))",
        // guix shell --export-manifest
        R"((use-modules (guix transformations))
           (define transform1 (options->transformation '((with-input . "openmpi=mpich") (tune . "skylake"))))
           (packages->manifest (list (transform1 (specification->package "hello")))))",
        R"((specifications->manifest '(load "x" (getenv "HOME"))))",
    };
    for (const std::string& text : closed) EXPECT_EQ(why_manifest_is_open(text).value_or(""), "") << text;
}

TEST(ClosedManifest, AnythingElseIsOpen) {
    const std::string open[] = {
        R"((load "other.scm"))",
        R"((primitive-load "other.scm"))",
        R"((include "other.scm"))",
        R"((include-from-path "other.scm"))",
        R"((specifications->manifest (list (getenv "PACKAGE"))))",
        R"((specifications->manifest (map getenv (list "PACKAGE"))))",
        R"((specifications->manifest (apply getenv (list "PACKAGE"))))",
        R"((specifications->manifest (map (compose getenv car) '(("PACKAGE")))))",
        R"((specifications->manifest (apply map getenv '(("PACKAGE")))))",
        R"((specifications->manifest (map map (list getenv) '(("PACKAGE")))))",
        R"((define f getenv) (specifications->manifest (list (f "PACKAGE"))))",
        R"((define f (if #t getenv list)) (specifications->manifest (list (f "PACKAGE"))))",
        R"((define (call f) (f "PACKAGE")) (specifications->manifest (list (call getenv))))",
        R"((define (call) (define f getenv) (f "PACKAGE")) (specifications->manifest (list (call))))",
        R"((define (f x) x) (define f getenv) (specifications->manifest (list (f "PACKAGE"))))",
        R"((define list getenv) (specifications->manifest (list "PACKAGE")))",
        R"((let ((list getenv)) (specifications->manifest (list "PACKAGE"))))",
        R"((let loop ((x 1)) (loop x)))",
        R"((map (lambda (list) (list "PACKAGE")) (cons getenv '())))",
        R"(((@ (guile) getenv) "PACKAGE"))",
        R"(((@@ (guile) getenv) "PACKAGE"))",
        R"((packages->manifest (list (@ (ice-9 popen) open-pipe))))",
        R"((eval '(getenv "HOME") (current-module)))",
        R"((use-modules (ice-9 rdelim)))",
        R"((use-modules (web client)))",
        R"((use-modules (guix gexp)))",
        R"((use-modules (guix git-download)))",
        R"((use-modules ((gnu packages base) #:select ((hello . list)))))",
        R"((use-modules ((gnu packages base) #:renamer (lambda (x) (getenv "HOME")))))",
        R"((define-module (m)))",
        R"((packages->manifest (list (local-file "x"))))",
        R"((call-with-input-file "x" read))",
        R"((with-input-from-file "x" read))",
        R"((open-input-pipe "date"))",
        R"((system "date"))",
        R"((current-time))",
        R"((begin (current-filename)))",
        R"((specifications->manifest %load-path))",
        R"((specifications->manifest `("a" ,(getenv "HOME"))))",
        R"((packages->manifest (list (package (inherit hello)))))",
        R"((packages->manifest (list ((options->transformation '((with-branch . "a=b"))) hello))))",
        R"((define t (options->transformation '((with-source . "/x.tar.gz")))))",
        R"((define t (options->transformation '((tune . "native")))))",
        R"((define t (options->transformation (read))))",
        R"((set! list getenv))",
        R"((define-syntax-rule (f x) (getenv x)))",
        R"((let-syntax () 1))",
        R"(#.(getenv "HOME"))",
        R"(#~(x))",
        R"((a . b))",
        R"(()",
        R"((define x))",
        R"((define (f . x) x))",
    };
    for (const std::string& text : open) EXPECT_TRUE(why_manifest_is_open(text)) << text;
}

TEST(ClosedManifest, SaysWhere) {
    EXPECT_EQ(why_manifest_is_open("\n (load \"x\")").value_or(""),
              "line 2, column 3: 'load' may depend on more than the manifest says");
}

std::string channel(const std::string& fields) {
    return "(list (channel (name 'guix) (url \"https://example.org/guix.git\")" + fields + "))";
}
const std::string commit = R"((commit "0123456789abcdef0123456789abcdef01234567"))";

TEST(ClosedChannels, HaveACommitEach) {
    const std::string closed[] = {
        channel(commit),
        channel("(branch \"master\")" + commit),
        channel(commit + R"((introduction (make-channel-introduction "0123" (openpgp-fingerprint "AB CD"))))"),
        "(use-modules (guix channels)) ; x\n" + channel(commit),
        "(list (channel (name (quote a)) (url \"b\") " + commit + ")(channel (name 'c) (url \"d\")" + commit + "))",
    };
    for (const std::string& text : closed) EXPECT_EQ(why_channels_are_open(text).value_or(""), "") << text;
}

TEST(ClosedChannels, AnythingElseIsOpen) {
    const std::string open[] = {
        "",
        "(list)",
        "%default-channels",
        channel(""),
        channel(R"((commit "0123456"))"),
        channel(R"((commit "v1.5.0"))"),
        channel(R"((commit (getenv "COMMIT")))"),
        channel(commit + "(url (getenv \"X\"))"),
        channel(commit + "(extra 1)"),
        channel(commit + "(introduction %guix-introduction)"),
        channel(commit) + channel(commit),
        "(cons " + channel(commit) + " %default-channels)",
        "(list (channel (inherit x)" + commit + "))",
        "(list (channel (name 'x)" + commit + "))",
        "(use-modules (ice-9 rdelim))" + channel(commit),
        "(load \"channels.scm\")",
        "(list",
    };
    for (const std::string& text : open) EXPECT_TRUE(why_channels_are_open(text)) << text;
}

}  // namespace
}  // namespace senv
