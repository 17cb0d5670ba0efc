#!/usr/bin/env python3
"""dns.py ADDRESS NAME --ready FILE: a name server on UDP port 53 of ADDRESS that knows one name, which is 127.0.0.1.

Every other name does not exist. Writes FILE when it listens. Needs root.
"""
import os
import socket
import struct
import sys


def answer(query, known):
    """The reply to a query of one question."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]])
        at += 1 + query[at]
    kind = struct.unpack_from(">H", query, at + 1)[0]
    question = query[12:at + 5]
    is_known = b".".join(labels).lower() == known
    has_address = is_known and kind == 1
    flags = 0x8180 if is_known else 0x8183
    reply = query[:2] + struct.pack(">HHHHH", flags, 1, int(has_address), 0, 0) + question
    if has_address:
        reply += struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
    return reply


def main():
    address, known, _, ready = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    open(ready + ".new", "w").close()
    os.rename(ready + ".new", ready)
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answer(query, known.encode()), client)


main()
