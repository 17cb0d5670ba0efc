#!/usr/bin/env python3
"""costly_profiles.py FOLDER --tools DIR --key FILE KIND: publishes a profile that is made to cost; prints its path.

  repeated   12,000 search paths, and 20,000 entries that repeat the one that has them
  plus       a pattern with 36 times "+", which takes glibc hours
  name       a search path with a file name of 3 MB, over 20,000 files
  links      2,000 links, each through a chain of 40 links that have 800 times "a/../" in them
  allowed    as much as a plan may cost: a second or two; with --files less than 400, less
"""
import argparse

import items
import publish

PACKAGE = b'"p" "1"'


def manifest(search_paths, more=b""):
    item = b'"%s"' % publish.store_path("p-1").encode()
    entry = b'(%s "out" %s (search-paths (%s)))' % (PACKAGE, item, search_paths)
    return b"(manifest (version 4) (packages (%s %s)))\n" % (entry, more.replace(b"ITEM", item))


def repeated():
    paths = b"".join(b'("%d" () #f a #f)' % i for i in range(12000))
    return {"manifest": manifest(paths, b"(repeated %s ITEM)" % PACKAGE * 20000)}


def plus():
    return {"manifest": manifest(b'("V" ("bin") ":" regular "a%s")' % (b"+" * 36)), "bin": {"a": b""}}


def name():
    path = b"./" * 1500000 + b"share"
    return {"manifest": manifest(b'("V" ("%s") ":" regular "zzz")' % path),
            "share": {str(i): b"" for i in range(20000)}}


def links():
    tree = {"manifest": manifest(b'("V" ("share") ":" regular "zzz")'), "a": {}, "l39": items.Link("manifest")}
    for i in range(39):
        tree[f"l{i}"] = items.Link("a/../" * 800 + f"l{i + 1}")
    tree["share"] = {str(i): items.Link("../l0") for i in range(2000)}
    return tree


def allowed(files=400):
    return {"manifest": manifest(b'("V" ("share") ":" regular "(a?){1000}b")'), "bin": {},
            "share": {"a" * 240 + str(i): b"" for i in range(files)}}


def main():
    kinds = {kind.__name__: kind for kind in (repeated, plus, name, links, allowed)}
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--tools", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("kind", choices=kinds)
    options = parser.parse_args()
    published = items.Published(options.folder, options.tools, options.key)
    tree = allowed(options.files) if options.kind == "allowed" else kinds[options.kind]()
    print(published.add(f"{options.kind}-profile", tree))


if __name__ == "__main__":
    main()
