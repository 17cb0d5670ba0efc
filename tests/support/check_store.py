#!/usr/bin/env python3
"""check_store.py --tools DIR STATE: is every item in the store of this state folder what its narinfo says?

Compares the hash of each item, made into a nar again by DIR/make_nar, with NarHash of the narinfo that senvd keeps, and looks
at modes and at the staging folder. Prints what is wrong and exits 1, or prints how many items it has checked.
"""
import argparse
import hashlib
import os
import re
import stat
import subprocess
import sys

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def nar_hash(tools, item):
    digest = hashlib.sha256()
    with subprocess.Popen([tools + "/make_nar", item], stdout=subprocess.PIPE) as make_nar:
        while piece := make_nar.stdout.read(1 << 20):
            digest.update(piece)
    if make_nar.returncode != 0:
        return f"make_nar ended with {make_nar.returncode}"
    number = int.from_bytes(digest.digest(), "little")
    return "sha256:" + "".join(ALPHABET[number >> (5 * i) & 31] for i in reversed(range(52)))


def bad_modes(item):
    """Files and folders of the item that somebody could write, or not read."""
    for folder, folders, files in os.walk(item):
        for path in [folder] + [os.path.join(folder, name) for name in folders + files]:
            mode = os.lstat(path).st_mode
            allowed = {"d": "555", "-": "444 555", "l": "777"}.get(stat.filemode(mode)[0], "")
            if f"{stat.S_IMODE(mode):o}" not in allowed.split():
                yield path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("state")
    parser.add_argument("--tools", required=True)
    options = parser.parse_args()
    store = os.path.join(options.state, "store")
    wrong = [f"left in staging: {name}" for name in os.listdir(os.path.join(options.state, "staging"))]
    items = sorted(os.listdir(store))
    for name in items:
        item = os.path.join(store, name)
        try:
            with open(os.path.join(options.state, "narinfo", name)) as file:
                signed = re.search(r"^NarHash: (\S+)$", file.read(), re.MULTILINE)
        except FileNotFoundError:
            signed = None
        found = nar_hash(options.tools, item)
        if not signed:
            wrong.append(f"{name}: no narinfo with a NarHash")
        elif found != signed[1]:
            wrong.append(f"{name}: has {found}, signed is {signed[1]}")
        wrong += [f"wrong mode: {path}" for path in bad_modes(item)]
    for text in wrong:
        print(text)
    if not wrong:
        print(len(items))
    return 1 if wrong else 0


sys.exit(main())
