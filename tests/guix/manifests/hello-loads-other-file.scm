;; What this names stands in another file, so nobody can tell from this text alone.
(load "other.scm")
