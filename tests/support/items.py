"""items.py: made-up closures for tests: nars, in memory and of trees on the disk, and closures of many items, published.

A tree in memory is a dict from names to nodes; a node is a dict again (a folder), bytes (a plain file), a Program or a Link.
"""
import hashlib
import os
import stat
from typing import NamedTuple

import publish


class Program(NamedTuple):
    content: bytes


class Link(NamedTuple):
    target: str


# ------------------------------------------------------------------------------------------------------------------ nar

def _string(data):
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def _node(node, write):
    write(_string(b"(") + _string(b"type"))
    if isinstance(node, dict):
        write(_string(b"directory"))
        for name in sorted(node, key=str.encode):
            write(_string(b"entry") + _string(b"(") + _string(b"name") + _string(name.encode()) + _string(b"node"))
            _node(node[name], write)
            write(_string(b")"))
    elif isinstance(node, Link):
        write(_string(b"symlink") + _string(b"target") + _string(node.target.encode()))
    else:
        write(_string(b"regular"))
        if isinstance(node, Program):
            write(_string(b"executable") + _string(b""))
        write(_string(b"contents") + _string(node.content if isinstance(node, Program) else node))
    write(_string(b")"))


def nar_of(tree):
    pieces = [_string(b"nix-archive-1")]
    _node(tree, pieces.append)
    return b"".join(pieces)


class WrongMode(Exception):
    pass


def read_tree(path):
    """The tree on the disk. Modes must be those of a store: 0555 for folders and programs, 0444 for plain files."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return Link(os.readlink(path))
    if stat.S_IMODE(mode) != 0o555 and (stat.S_ISDIR(mode) or stat.S_IMODE(mode) != 0o444):
        raise WrongMode(f"{path} has mode {stat.S_IMODE(mode):o}")
    if stat.S_ISDIR(mode):
        return {entry.name: read_tree(entry.path) for entry in os.scandir(path)}
    with open(path, "rb") as file:
        content = file.read()
    return Program(content) if mode & 0o100 else content


def nar_hash(nar):
    return "sha256:" + publish.nix_base32(hashlib.sha256(nar).digest())


# -------------------------------------------------------------------------------------------------------------- closures

class Item(NamedTuple):
    path: str
    nar_hash: str
    nar_size: int
    references: tuple  # of store paths
    narinfo: str
    nar_url: str  # "/nar/…"

    @property
    def base(self):
        return os.path.basename(self.path)


class Published:
    """Items in a server's folder, and what each of them needs."""

    def __init__(self, folder, tools, key):
        self.folder, self._tools, self._key = folder, tools, key
        self.items = {}  # by base

    def add(self, name, tree, references=(), compression="zstd"):
        nar = nar_of(tree)
        path = publish.store_path(name)
        narinfo = publish.publish(self.folder, path, nar, self._tools, self._key, references, compression)
        base = os.path.basename(path)
        self.items[base] = Item(path, nar_hash(nar), len(nar), tuple(references), narinfo, f"/nar/{compression}/{base}")
        return path

    def add_profile(self, name, references):
        manifest = b"(manifest (version 4) (packages ()))\n"
        return self.add(name, {"manifest": manifest, "first": Link(references[0])}, references)

    def add_random(self, prefix, count, rng, most_bytes=600_000, most_references=4):
        """Items of mixed sizes, half of them incompressible; each may need some of those before it. Returns their paths."""
        paths = []
        for number in range(count):
            size = int(most_bytes ** rng.uniform(0.2, 1.0))
            tree = {"bin": {"run": Program(b"#!/bin/sh\n" + rng.randbytes(8))}, "name": f"{prefix}-{number}".encode()}
            files = rng.randint(1, 12)
            tree["share"] = {f"file-{i}": _content(rng, size // files) for i in range(files)}
            needs = rng.sample(paths, min(len(paths), rng.randint(0, most_references)))
            paths.append(self.add(f"{prefix}-{number}", tree, needs, rng.choice(["zstd", "zstd", "gzip", "none", "lzip"])))
        return paths

    def closure(self, path):
        """The bases of all that it needs, itself included."""
        reached, left = set(), [os.path.basename(path)]
        while left:
            base = left.pop()
            if base not in reached:
                reached.add(base)
                left += [os.path.basename(reference) for reference in self.items[base].references]
        return reached

    def packed_size(self, base):
        return os.path.getsize(self.folder + self.items[base].nar_url)


def _content(rng, size):
    if rng.random() < 0.5:
        return rng.randbytes(size)
    line = rng.randbytes(12).hex().encode() + b" is what this file says, again and again\n"
    return (line * (size // len(line) + 1))[:size]
