"""senvd and senv as a compute node runs them, and a client of senvd's socket (cache/wire/protocol.md)."""
import json
import os
import socket
import struct
import time

from machine import NOBODY, Process, cpu_seconds, run, unprivileged


class Senvd:
    """A senvd of its own with its store on `folder`, asking the servers `urls`. `prefix` is put in front of its command."""

    def __init__(self, bench, folder, *urls, name="senvd", prefix=()):
        self._bench = bench
        self.folder = folder / "senv"
        self._work = bench.work / name
        self._prefix = list(prefix)
        # What senvd owns, and what it must not be able to change.
        for path in (self.folder, self._work / "run"):
            if not path.exists():
                path.mkdir(parents=True)
                os.chown(path, NOBODY, NOBODY)
        self.socket = str(self._work / "run" / "senvd.sock")
        (self._work / "acl").write_text(bench.fixture.key.acl)
        self._config = self._work / "senvd.toml"
        self._config.write_text(f'origins = {json.dumps(urls)}\nacl = "{self._work}/acl"\nstate_dir = "{self.folder}"\n'
                                f'socket = "{self.socket}"\nstore = "node"\n')
        self.start()

    def start(self):
        """Returns how long it took until the socket answered."""
        begin = time.monotonic()
        self._process = Process(*self._prefix, *unprivileged(self._bench.senvd, "--config", self._config),
                                log=self._work / "senvd.log")
        self._process.wait_until(self._answers)
        return time.monotonic() - begin

    def _answers(self):
        try:
            self.status()
            return True
        except (OSError, RuntimeError):
            return False

    @property
    def pid(self):
        return self._process.pid

    @property
    def store(self):
        return self.folder / "store"

    def fetch(self, profile):
        """As a person or a prolog does it: seconds from the command's start to its end, all items usable."""
        begin = time.monotonic()
        try:
            run(*self._prefix, self._bench.senv, "fetch", "--socket", self.socket, profile)
        except RuntimeError as error:
            raise RuntimeError(f"{error}The log of senvd ends with:\n{self._process.tail()}") from None
        return time.monotonic() - begin

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def status(self):
        return json.loads(ask(self.socket, 3, b"")[-1][1][4:])

    def stop(self):
        self._process.stop()

    def kill(self):
        self._process.popen.kill()
        self._process.popen.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


PLAN, ERROR = 32, 33


def provision(path, profile, lease=True):
    """Asks for a profile as the plugin does. Returns seconds until the plan was there."""
    name = profile.encode()
    payload = struct.pack("<I", len(name)) + name + struct.pack("<IIIII", 0, 1, 0, 1 if lease else 0, 0)
    begin = time.perf_counter()
    kind, answer = ask(path, 1, payload)[-1]
    seconds = time.perf_counter() - begin
    if kind != PLAN:
        raise RuntimeError(f"senvd did not give a plan for {profile}: {answer!r}")
    return seconds


def ask(path, kind, payload):
    """One conversation: the frames (type, payload) that came back, the final reply last. Leases are let go."""
    frames = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(struct.pack("<IHH", len(payload), kind, 1) + payload)
        data = b""
        while not frames or frames[-1][0] < 32:
            more, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
            for descriptor in descriptors:
                os.close(descriptor)
            if not more:
                raise RuntimeError("senvd closed the connection without an answer")
            data += more
            while len(data) >= 8:
                length, got, _ = struct.unpack("<IHH", data[:8])
                if len(data) < 8 + length:
                    break
                frames.append((got, data[8:8 + length]))
                data = data[8 + length:]
    return frames
