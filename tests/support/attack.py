#!/usr/bin/env python3
"""attack.py SOCKET WARM COLD: all that a client can do to senvd, again and again, until SIGTERM. Run as root, it becomes another
user at once.

Prints "begun" when a thousand connections are open that say nothing, say half a request, or never read, and "round N" after
each round. Exit status: 0, or 1 with a traceback when senvd answered what it should not, or kept what it was sent.
WARM: a profile that is complete. COLD: one that is being fetched.
"""
import array
import os
import random
import resource
import select
import signal
import socket
import struct
import sys

import ask

PATH, WARM, COLD = sys.argv[1:]
DENIED, USAGE = 2, 0    # kinds of an Error
USER = 64002
ended = []


def provision(profile, uid=0, flags=0, job=4242):
    return ask.frame(1, profile + struct.pack("<IIII", uid, job, 0, flags) + ask.string(""))


def peer(data):
    one = ask.Peer(PATH)
    one.socket.settimeout(60)
    one.socket.sendall(data)
    return one


def answer(one):
    """(type, kind of the error) of the last frame; (None, None): closed without one."""
    try:
        while True:
            kind, payload = one.frame()
            if kind is None or kind in ask.FINAL:
                return kind, payload and kind == 33 and struct.unpack_from("<H", payload)[0]
    except (ConnectionResetError, BrokenPipeError):
        return None, None
    finally:
        one.socket.close()
        for fd in one.fds:
            os.close(fd)


def told(data):
    try:
        return answer(peer(data))
    except (ConnectionResetError, BrokenPipeError):    # before all of it was sent
        return None, None


def nonsense():
    for _ in range(10):
        assert told(struct.pack("<IHH", random.randrange(65537, 1 << 32), 1, 1) + random.randbytes(100)) == (None, None)
        assert told(struct.pack("<IHH", 100, random.randrange(8, 1 << 16), 1) + random.randbytes(100)) == (None, None)
        assert told(struct.pack("<IHH", 4, 1, 2) + bytes(4)) == (None, None)
        told(ask.frame(random.randrange(1, 8), random.randbytes(random.randrange(100))))


def names():
    for name in ("/etc/shadow", "/gnu/store/../../etc", WARM + "/../../../etc", WARM + "\n", "/gnu/store\n" + WARM, WARM[1:],
                 "%s%n", "\u202e" + WARM, "file://" + WARM):
        text = ask.string(name)
        for request in (provision(text, flags=1), ask.frame(2, text + bytes(8)), ask.frame(6, text)):
            assert told(request) == (33, USAGE), name
    for name in (WARM + "\0", "\0" + WARM, "\0", WARM + 300 * "x"):
        assert told(provision(ask.string(name))) == (None, None), name


def rights():
    """Descriptors that nobody asked for, in front of, within and after a request: none is kept."""
    request = provision(ask.string(WARM))
    for before in (0, 4, len(request)):
        for rest in (request[before:], b"", random.randbytes(20)):
            reading, writing = os.pipe()
            one = peer(request[:before])
            try:
                one.socket.sendmsg([rest or b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing] * 250))])
            except (ConnectionResetError, BrokenPipeError):
                pass
            os.close(writing)
            if before + len(rest) >= len(request):
                answer(one)
            else:
                one.socket.close()
            ready, _, _ = select.select([reading], [], [], 60)
            assert ready and os.read(reading, 1) == b"", "senvd keeps a descriptor that it was sent"
            os.close(reading)


def foreign():
    for uid in (0, 1, 64001, 0xFFFFFFFF):
        assert told(provision(ask.string(WARM), uid, flags=1))[0] == 32
    for flags in (0, 1):
        assert told(ask.frame(4, struct.pack("<I", flags))) == (33, DENIED)
        assert told(ask.frame(5, ask.string(WARM) + struct.pack("<I", flags))) == (33, DENIED)


os.setgroups([])
os.setresgid(USER, USER, USER)
os.setresuid(USER, USER, USER)
resource.setrlimit(resource.RLIMIT_NOFILE, 2 * resource.getrlimit(resource.RLIMIT_NOFILE)[1:])
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
held = [peer(data) for data in 850 * [b""] + 50 * [b"\x18"] + 50 * [provision(ask.string(WARM))[:-1]]]
held += [peer(data) for data in 15 * [ask.frame(3), ask.frame(6, ask.string("")), provision(ask.string(COLD), flags=3)]]
print("begun", flush=True)
rounds = 0
while not ended:
    for attack in (nonsense, names, rights, foreign):
        attack()
    rounds += 1
    print("round", rounds, flush=True)
