#!/usr/bin/env python3
"""publish.py --tools DIR --key FILE FOLDER NAME [OPTION…]: puts one item into a substitute server's folder.

Takes the item's contents from --tree PATH (made into a nar by make_nar) or --nar FILE (any bytes), writes the compressed nar
and the signed narinfo, and prints the item's store path. Its hash part is made from NAME, so that tests can foretell it;
--path-only prints the path and does nothing else. --references takes store paths; SELF is the item itself.
"""
import argparse
import gzip
import hashlib
import os
import subprocess

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def nix_base32(data):
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 + 4) // 5
    return "".join(ALPHABET[number >> (5 * i) & 31] for i in reversed(range(length)))


def store_path(name):
    return "/gnu/store/" + nix_base32(hashlib.sha256(name.encode()).digest()[:20]) + "-" + name


def publish(folder, path, nar, tools, key, references=(), compression="zstd", nar_size=None, nar_hash=None):
    """Writes the two files of an item whose nar is `nar`. Returns the narinfo's text."""
    base = os.path.basename(path)
    url = f"nar/{compression}/{base}"
    file = os.path.join(folder, url)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    if compression == "gzip":
        packed = gzip.compress(nar)
    elif compression == "none":
        packed = nar
    else:
        packed = subprocess.run([compression, "-c"], check=True, input=nar, stdout=subprocess.PIPE).stdout
    with open(file, "wb") as out:
        out.write(packed)

    references = [base if r == "SELF" else os.path.basename(r) for r in references]
    nar_hash = nar_hash or "sha256:" + nix_base32(hashlib.sha256(nar).digest())
    nar_size = len(nar) if nar_size is None else nar_size
    text = f"StorePath: {path}\nNarHash: {nar_hash}\nNarSize: {nar_size}\nReferences: {' '.join(references)}\n"
    signed = subprocess.run([tools + "/sign_narinfo", "--key", key], check=True, input=text.encode(),
                            stdout=subprocess.PIPE).stdout.decode()
    narinfo = signed + f"URL: {url}\nCompression: {compression}\nFileSize: {len(packed)}\n"
    with open(os.path.join(folder, base[:32] + ".narinfo"), "w") as out:
        out.write(narinfo)
    return narinfo


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("name")
    parser.add_argument("--tools", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--tree")
    parser.add_argument("--nar")
    parser.add_argument("--path", help="the store path, instead of one made from NAME")
    parser.add_argument("--references", nargs="*", default=[])
    parser.add_argument("--compression", default="zstd")
    parser.add_argument("--nar-size", type=int)
    parser.add_argument("--nar-hash")
    parser.add_argument("--path-only", action="store_true")
    options = parser.parse_args()

    path = options.path or store_path(options.name)
    print(path)
    if options.path_only:
        return
    if options.nar:
        with open(options.nar, "rb") as file:
            nar = file.read()
    else:
        nar = subprocess.run([options.tools + "/make_nar", options.tree], check=True, stdout=subprocess.PIPE).stdout
    publish(options.folder, path, nar, options.tools, options.key, options.references, options.compression,
            options.nar_size, options.nar_hash)


if __name__ == "__main__":
    main()
