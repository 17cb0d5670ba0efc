#!/usr/bin/env python3
"""ask.py SOCKET REQUEST…: speaks cache/wire/protocol.md, on its own, and prints each frame as a line.

  provision PROFILE [--lease] [--progress] [--job N] [--step N] [--uid N] [--hold FILE]
                 with --hold: writes FILE when the answer is there, then keeps the lease until it is killed
  prefetch PROFILE, status, gc, gc-dry-run, pin PROFILE, unpin PROFILE, list [PROFILE], verify [PROFILE], repair [PROFILE]
  release NUMBER [--user]   the leases of a job, or of a user
  raw HEX [--linger]   sends these bytes, then waits until senvd closes

Exit status: 0 a good answer, 1 an ERROR, 3 closed without an answer.
"""
import argparse
import array
import signal
import socket
import struct
import sys

NAMES = {16: "LEASE", 17: "PENDING", 18: "PROGRESS", 32: "PLAN", 33: "ERROR", 34: "ACCEPTED", 35: "TEXT"}
FINAL = {32, 33, 34, 35}


def string(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def frame(kind, payload=b""):
    return struct.pack("<IHH", len(payload), kind, 1) + payload


def provision(profile, uid=0, job=0, step=0, flags=0):
    return frame(1, string(profile) + struct.pack("<IIII", uid, job, step, flags) + string(""))


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, code):
        size = struct.calcsize(code)
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += size
        return value

    def string(self):
        size = self.number("I")
        self.at += size
        return self.data[self.at - size : self.at].decode(errors="replace")


class Peer:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.fds = []

    def read(self, size):
        data = b""
        while len(data) < size:
            piece, ancillary, _, _ = self.socket.recvmsg(size - len(data), socket.CMSG_SPACE(4 * 4))
            for _, kind, body in ancillary:
                if kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(body[: len(body) - len(body) % 4])
                    self.fds.extend(fds)
            if not piece:
                return None
            data += piece
        return data

    def frame(self):
        header = self.read(8)
        if header is None:
            return None, None
        size, kind, version = struct.unpack("<IHH", header)
        assert version == 1
        return kind, self.read(size)


def show(kind, payload):
    cursor = Cursor(payload)
    text = NAMES.get(kind, str(kind))
    if kind == 32:
        text += " " + cursor.string()
        for _ in range(cursor.number("I")):
            name, value, separator = cursor.string(), cursor.string(), cursor.string()
            text += f"\nVARIABLE {name}={value} [{separator}]"
    elif kind == 33:
        code = cursor.number("H")
        text += f" {code} {cursor.string()}\nHINT {cursor.string()}"
    elif kind == 35:
        text = cursor.string()
    elif kind == 18:
        text += " " + " ".join(str(cursor.number(code)) for code in "IIQQ") + " " + cursor.string()
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("socket")
    parser.add_argument("request")
    parser.add_argument("argument", nargs="?", default="")
    parser.add_argument("--lease", action="store_true")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--linger", action="store_true")
    parser.add_argument("--job", type=int, default=0)
    parser.add_argument("--step", type=int, default=0)
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--hold")
    parser.add_argument("--user", action="store_true")
    options = parser.parse_args()
    peer = Peer(options.socket)
    flags = (1 if options.lease or options.hold else 0) | (2 if options.progress else 0)
    if options.request == "provision":
        request = provision(options.argument, options.uid, options.job, options.step, flags)
    elif options.request == "prefetch":
        request = frame(2, string(options.argument) + struct.pack("<II", options.uid, options.job))
    elif options.request == "release":
        request = frame(9, struct.pack("<II", int(options.argument), options.user))
    elif options.request == "raw":
        request = bytes.fromhex(options.argument)
    elif options.request in ("pin", "unpin"):
        request = frame(5, string(options.argument) + struct.pack("<I", options.request == "unpin"))
    elif options.request == "list":
        request = frame(6, string(options.argument))
    elif options.request in ("verify", "repair"):
        paths = [options.argument] if options.argument else []
        request = frame(7, struct.pack("<I", len(paths)) + b"".join(map(string, paths)) +
                        struct.pack("<I", options.request == "repair"))
    else:
        request = {"status": frame(3), "gc": frame(4, struct.pack("<I", 0)), "gc-dry-run": frame(4, struct.pack("<I", 1))}[
            options.request]
    peer.socket.sendall(request)
    while True:
        try:
            kind, payload = peer.frame()
        except ConnectionResetError:
            kind = None
        if kind is None:
            sys.exit(3)
        show(kind, payload)
        if kind in FINAL:
            break
    if options.hold:
        assert peer.fds
        peer.socket.close()
        with open(options.hold, "w") as file:
            file.write("held\n")
        signal.pause()
    sys.exit(1 if kind == 33 else 0)


if __name__ == "__main__":
    main()
