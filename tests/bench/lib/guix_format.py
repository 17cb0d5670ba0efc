"""What a Guix substitute server hands out: nars, narinfos and ECDSA signatures over Edwards25519, as Guix signs.

A tree is a dict from names (bytes) to nodes, and a node is a dict again (a folder) or one of File, Data and Link. So an
item can be put together from many places without copying anything.
"""
import base64
import hashlib
import os
import secrets
from typing import NamedTuple

STORE = "/gnu/store"


class File(NamedTuple):
    """A file of this machine's."""
    source: str
    size: int
    executable: bool


class Data(NamedTuple):
    content: bytes
    executable: bool = False


class Link(NamedTuple):
    target: bytes


# ------------------------------------------------------------------------------------------------------------------ nar

def _string(data):
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


_HEADER = _string(b"nix-archive-1")
_OPEN, _CLOSE = _string(b"("), _string(b")")
_FOLDER = _OPEN + _string(b"type") + _string(b"directory")
_LINK = _OPEN + _string(b"type") + _string(b"symlink") + _string(b"target")
_REGULAR = _OPEN + _string(b"type") + _string(b"regular")
_EXECUTABLE = _string(b"executable") + _string(b"")
_CONTENTS = _string(b"contents")
_ENTRY = _string(b"entry") + _OPEN + _string(b"name")
_NODE = _string(b"node")


def write_nar(tree, write):
    """Calls write(bytes) with the nar of a node, piece by piece."""
    write(_HEADER)
    _write_node(tree, write)


def _write_node(node, write):
    if isinstance(node, dict):
        write(_FOLDER)
        for name in sorted(node):
            write(_ENTRY + _string(name) + _NODE)
            _write_node(node[name], write)
            write(_CLOSE)
        write(_CLOSE)
    elif isinstance(node, Link):
        write(_LINK + _string(node.target) + _CLOSE)
    else:
        size = len(node.content) if isinstance(node, Data) else node.size
        write(_REGULAR + (_EXECUTABLE if node.executable else b"") + _CONTENTS + size.to_bytes(8, "little"))
        if isinstance(node, Data):
            write(node.content)
        else:
            left = size
            with open(node.source, "rb", buffering=0) as file:
                while left and (data := file.read(min(left, 1 << 20))):
                    left -= len(data)
                    write(data)
            if left:
                raise RuntimeError(f"{node.source} became shorter while it was read")
        write(bytes(-size % 8) + _CLOSE)


def count(node):
    """How many files and links (not folders) a tree has, and how many bytes are in the files."""
    if isinstance(node, dict):
        parts = [count(child) for child in node.values()]
        return sum(part[0] for part in parts), sum(part[1] for part in parts)
    if isinstance(node, Link):
        return 1, 0
    return 1, len(node.content) if isinstance(node, Data) else node.size


def merge(into, tree):
    """Adds the entries of a folder to another. Where both have a file, the first stays."""
    for name, node in tree.items():
        if name not in into:
            into[name] = node
        elif isinstance(into[name], dict) and isinstance(node, dict):
            merge(into[name], node)


def read_tree(path):
    """The node for what lies at `path` (bytes). None for what a nar cannot hold."""
    status = os.lstat(path)
    kind = status.st_mode & 0o170000
    if kind == 0o120000:
        return Link(os.readlink(path))
    if kind == 0o100000:
        return File(path, status.st_size, bool(status.st_mode & 0o100))
    if kind != 0o040000:
        return None
    children = {name: read_tree(os.path.join(path, name)) for name in os.listdir(path)}
    return {name: node for name, node in children.items() if node is not None}


# ---------------------------------------------------------------------------------------------------------- store paths

_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def nix_base32(data):
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 + 4) // 5
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(length)))


def store_name(name, seed):
    """HASH-NAME. The hash says nothing about the contents: nor does it for what Guix has built."""
    return nix_base32(hashlib.sha256(f"senv bench {seed} {name}".encode()).digest()[:20]) + "-" + name


# ----------------------------------------------------------------------------------------------------------- signatures
# ECDSA over Edwards25519 as libgcrypt does it (not EdDSA). Signing only multiplies the base point, so a table of its
# multiples makes a signature cost under a millisecond here: less than starting a program that does it.

_P = 2 ** 255 - 19
_ORDER = 2 ** 252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P


def _base_point():
    y = 4 * pow(5, -1, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x & 1:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(p, q):    # extended coordinates; holds for doubling too
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _table():    # table[i][j] = j * 16^i * B
    point, rows = _base_point(), []
    for _ in range(64):
        row = [(0, 1, 1, 0)]
        for _ in range(15):
            row.append(_add(row[-1], point))
        rows.append(row)
        point = _add(row[-1], point)
    return rows


class Key:
    """A throwaway signing key. `secret` is a number; none makes a new key."""
    _rows = None

    def __init__(self, secret=None):
        if Key._rows is None:
            Key._rows = _table()
        self.secret = secret or secrets.randbelow(_ORDER - 1) + 1
        x, y = self._multiply(self.secret)
        self.q = (y | (x & 1) << 255).to_bytes(32, "little").hex().upper()

    @staticmethod
    def _multiply(scalar):
        point = (0, 1, 1, 0)
        for row in Key._rows:
            point = _add(point, row[scalar & 15])
            scalar >>= 4
        inverse = pow(point[2], -1, _P)
        return point[0] * inverse % _P, point[1] * inverse % _P

    @property
    def public(self):
        return f"(public-key\n (ecc\n  (curve Ed25519)\n  (q #{self.q}#)\n  )\n )\n"

    @property
    def acl(self):
        return f"(acl (entry {self.public} (tag (guix import))))\n"

    @property
    def private(self):
        """As `guix archive --generate-key` writes signing-key.sec."""
        return ("(key-data\n (public-key\n  (ecc\n   (curve Ed25519)\n   (flags rfc6979)\n   (q #" + self.q +
                "#)\n   )\n  )\n (private-key\n  (ecc\n   (curve Ed25519)\n   (flags rfc6979)\n   (q #" + self.q +
                f"#)\n   (d #{self.secret:064X}#)\n   )\n  )\n )\n")

    def sign(self, text):
        """The value of the field Signature for what stands above it."""
        digest = hashlib.sha256(text).digest()
        z = int.from_bytes(digest, "big") >> 3
        # Any k nobody can guess will do. This one makes a fixture the same each time.
        k = int.from_bytes(hashlib.sha512(self.secret.to_bytes(32, "big") + digest).digest(), "big") % _ORDER
        r = self._multiply(k)[0] % _ORDER
        s = pow(k, -1, _ORDER) * (z + r * self.secret) % _ORDER
        sexp = (f"(signature \n (data \n  (flags rfc6979)\n  (hash sha256 #{digest.hex().upper()}#)\n  )\n"
                f" (sig-val \n  (ecdsa \n   (r #{_hex(r)}#)\n   (s #{_hex(s)}#)\n   )\n  )\n {self.public} )\n")
        return b"1;senv-bench;" + base64.b64encode(sexp.encode())


def _hex(number):
    digits = f"{number:X}"
    return digits if len(digits) % 2 == 0 else "0" + digits


def narinfo(key, name, nar_hash, nar_size, references, url, compression, file_size):
    """The text of HASH.narinfo. `references` are names (HASH-NAME)."""
    signed = (f"StorePath: {STORE}/{name}\nNarHash: sha256:{nix_base32(nar_hash)}\nNarSize: {nar_size}\n"
              f"References: {' '.join(references)}\n").encode()
    return signed + b"Signature: " + key.sign(signed) + (
        f"\nURL: {url}\nCompression: {compression}\nFileSize: {file_size}\n").encode()
