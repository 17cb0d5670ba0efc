"""node.py: a senvd of a test's own, for tests in Python: configured, started, asked, killed, and its state looked at.

Everything is in one folder: state/ (or wherever `state` says), senvd.sock, senvd.toml, senvd.log, acl.
"""
import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ask
import items

SENV_USER = 64001


def scratch():
    """Where tests put their files: in memory, if there is room. These start senvd often, and a busy disk is slow to sync."""
    shm = "/dev/shm"
    return shm if os.access(shm, os.W_OK) and shutil.disk_usage(shm).free > 1 << 30 else None


SCRATCH = scratch()


class Violation(Exception):
    """Something that must never be was seen."""


def check(holds, what):
    if not holds:
        raise Violation(what)


def options_of_trial():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    return parser


@contextlib.contextmanager
def trial_of(make, options, name):
    """What make(folder, rng) gives, in a folder of its own. A Violation is printed, with the seed and the trial's tail(), and ends
    the program; in any case the trial is closed."""
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix=f"senv-{name}.", dir=SCRATCH) as folder:
        os.chmod(folder, 0o755)
        trial = None
        try:
            trial = make(Path(folder), random.Random(options.seed))
            yield trial
        except Violation as violation:
            print(f"VIOLATION (seed {options.seed}): {violation}")
            if trial:
                print(trial.tail())
            sys.exit(1)
        finally:
            if trial:
                trial.close()


def wait_until(condition, seconds, what):
    limit = time.monotonic() + seconds
    while not (result := condition()):
        check(time.monotonic() < limit, f"waited {seconds} s in vain for {what}")
        time.sleep(0.01)
    return result


class Request:
    """One request on a connection of its own; the answer is taken later."""

    def __init__(self, path, frame, seconds=20):
        self._peer = ask.Peer(path)
        self._peer.socket.settimeout(seconds)
        self._peer.socket.sendall(frame)
        self.fds = self._peer.fds  # a lease: the caller's

    def answer(self, seconds=60):
        """(type, payload) of the final frame; (None, None) when senvd went away."""
        limit = time.monotonic() + seconds
        try:
            while True:
                self._peer.socket.settimeout(max(0.01, limit - time.monotonic()))
                kind, payload = self._peer.frame()
                if kind is None or kind in ask.FINAL:
                    return kind, payload
        except (ConnectionResetError, BrokenPipeError):
            return None, None
        except TimeoutError:
            raise Violation(f"no answer within {seconds} s") from None
        finally:
            self._peer.socket.close()

    def close(self):
        """The connection, and what came with the answer."""
        self._peer.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


def text_of(kind, payload):
    """What an answer says, for messages."""
    if kind is None:
        return "nothing: the connection was closed"
    if kind != 33:
        return ask.NAMES.get(kind, str(kind))
    cursor = ask.Cursor(payload)
    cursor.number("H")
    return cursor.string()


def recorded(state, durable=False, damaged=False):
    """The bases of the valid items, of those of them that are surely on the disk, or of the damaged ones, by the catalog as it is; in a copy, so that
    nothing is changed."""
    files = [path for path in (state / "db", state / "db-wal") if path.exists()]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        while True:
            before = [os.stat(path) for path in files]
            for path in files:
                shutil.copyfile(path, Path(folder) / path.name)
            if [(one.st_mtime_ns, one.st_size) for one in before] == [
                    (one.st_mtime_ns, one.st_size) for one in map(os.stat, files)]:
                break
        catalog = sqlite3.connect(Path(folder) / "db")
        try:
            which = "damaged" if damaged else "NOT damaged AND durable" if durable else "NOT damaged"
            rows = catalog.execute(f"SELECT base FROM items WHERE {which}")
            return {row[0] for row in rows}
        finally:
            catalog.close()


class Node:
    def __init__(self, work, build, checkout, origins, settings="", state=None, boot_id=None):
        """`boot_id`: what senvd takes for the node's, in a mount namespace of its own; needs root."""
        self.work, self.build = Path(work), Path(build)
        self.work.mkdir(exist_ok=True)
        os.chmod(self.work, 0o755)
        self.state = Path(state or self.work / "state")
        self.socket = str(self.work / "run" / "senvd.sock")
        self.log = self.work / "senvd.log"
        self.pid = None
        self._process = None
        self.boot_id = boot_id
        for folder in (self.state, self.work / "run"):
            folder.mkdir(exist_ok=True)
            if os.getuid() == 0:
                os.chown(folder, SENV_USER, SENV_USER)
        shutil.copyfile(Path(checkout) / "tests/golden/narinfo/acl", self.work / "acl")
        os.chmod(self.work / "acl", 0o644)
        urls = ", ".join(f'"{url}"' for url in origins)
        (self.work / "senvd.toml").write_text(
            f'origins = [{urls}]\nacl = "{self.work}/acl"\nstate_dir = "{self.state}"\nsocket = "{self.socket}"\n'
            f'store = "node"\n{settings}\n')

    # ------------------------------------------------------------------------------------------------------- its life

    def start(self, seconds=60):
        command = [self.build / "provisioner/senvd/senvd", "--config", self.work / "senvd.toml"]
        # A test that is killed takes it along, and what is mounted for it.
        user = ["--reuid", SENV_USER, "--regid", SENV_USER, "--clear-groups"] if os.getuid() == 0 else []
        command = ["setpriv", "--pdeathsig", "KILL", *user, *command]
        if self.boot_id:
            (self.work / "boot_id").write_text(self.boot_id + "\n")
            command = ["unshare", "--mount", "sh", "-ec",
                       'mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"', self.work / "boot_id", *command]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self._process.pid
        wait_until(self._answers, seconds, "senvd to start")

    def check_runs(self):
        check(self._process.poll() is None, f"senvd ended with status {self._process.returncode}: {self.tail()}")

    def _answers(self):
        self.check_runs()
        try:
            self.status(5)
            return True
        except (OSError, Violation):
            return False

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self.pid = None

    def stop(self, seconds=60):
        """As its service does."""
        self._process.terminate()
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Violation(f"senvd did not end within {seconds} s after SIGTERM") from None
        self.pid = None
        check(status == 0, f"senvd ended with status {status}: {self.tail()}")
        check(not os.listdir(self.state / "staging"), "senvd left something in staging/ at its end")

    def close(self):
        if self.pid:
            self.kill()

    def tail(self):
        if not self.log.exists():
            return ""
        return "\n" + "".join(self.log.read_text(errors="replace").splitlines(True)[-30:])

    def check_log(self):
        for line in self.log.read_text(errors="replace").splitlines():
            check("Sanitizer" not in line and "runtime error:" not in line, f"a sanitizer says: {line}")
            check("event=internal" not in line, f"senvd says: {line}")

    # -------------------------------------------------------------------------------------------------------- requests

    def request(self, frame):
        return Request(self.socket, frame)

    def provision(self, profile, lease=False, job=0):
        """The Request."""
        return self.request(ask.provision(profile, job=job, flags=1 if lease else 0))

    def provide(self, profile, seconds=120):
        """Until the plan is there."""
        kind, payload = self.provision(profile).answer(seconds)
        check(kind == 32, f"cannot provision {profile}: {text_of(kind, payload)}")

    def status(self, seconds=60):
        return self._json(ask.frame(3), seconds)

    def gc(self, seconds=120):
        return self._json(ask.frame(4, ask.struct.pack("<I", 0)), seconds)

    def repair(self):
        """The Request."""
        return self.request(ask.frame(7, ask.struct.pack("<II", 0, 1)))

    def _json(self, frame, seconds):
        kind, payload = self.request(frame).answer(seconds)
        check(kind == 35, f"no JSON, but: {text_of(kind, payload)}")
        return json.loads(ask.Cursor(payload).string())

    def hold(self, profile, job):
        """A process that has the closure leased, as a step does; ready when the plan is there."""
        held = self.work / f"held.{job}"
        process = subprocess.Popen([Path(ask.__file__), self.socket, "provision", profile, "--hold", held, "--job", str(job)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(held.exists, 60, f"the lease of {profile}")
        held.unlink()
        return process

    # ------------------------------------------------------------------------------------------------ what is on the disk

    def recorded(self, durable=False):
        return recorded(self.state, durable)

    def check_store(self, published):
        """Only when nothing is being fetched: what is there is what was published, whole, and known. Returns the bases."""
        check(not os.listdir(self.state / "staging"), f"staging/ holds {os.listdir(self.state / 'staging')}")
        bases = set(os.listdir(self.state / "store"))
        narinfos = set(os.listdir(self.state / "narinfo"))
        check(bases == narinfos, f"store/ and narinfo/ differ by {sorted(bases ^ narinfos)}")
        valid, damaged = self.recorded(), recorded(self.state, damaged=True)
        check(bases == valid | damaged, f"store/ and the catalog differ by {sorted(bases ^ (valid | damaged))}")
        for base in valid:
            self.check_item(published, base)
        return valid

    def check_item(self, published, base):
        item = published.items[base]
        try:
            found = items.nar_hash(items.nar_of(items.read_tree(self.state / "store" / base)))
        except items.WrongMode as wrong:
            raise Violation(str(wrong)) from None
        check(found == item.nar_hash, f"store/{base} is not what was signed")
        check((self.state / "narinfo" / base).read_text() == item.narinfo, f"narinfo/{base} is not what was sent")
