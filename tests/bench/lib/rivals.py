"""What senvd is compared with. A rival fetches a closure into a new file system and says how long that took.

    available()                        None, or why it cannot run here
    run(fs, closure, url, prefix)      seconds; `prefix` puts a command into the network namespace of a slow link
    store(fs)                          the folder where the items are afterwards
"""
import hashlib
import os
import re
import shutil
import time

from machine import Process, run, timed
from ours import Senvd


class Ours:
    """senvd, one new daemon for each run. Started before the clock, as it is on a node."""
    name = "senv"

    def __init__(self, bench):
        self._bench = bench
        self.cpu = []

    @staticmethod
    def available():
        return None

    def run(self, fs, closure, url, prefix=()):
        with Senvd(self._bench, fs, url, prefix=prefix) as senvd:
            before = senvd.cpu_seconds()
            seconds = senvd.fetch(closure.profile)
            self.cpu.append(senvd.cpu_seconds() - before)
        return seconds

    @staticmethod
    def store(fs):
        return fs / "senv" / "store"


class GuixHost:
    """The login host's Guix over a store of its own on `fs`, with guix-daemon running."""

    def __init__(self, bench, fs, prefix=(), name="guix", substitute_urls=None):
        self._root = bench.work / name
        self._prefix = list(prefix)
        self._fs = fs
        self._daemon = self._publish = None
        self._mounts = []
        for folder in ("upper", "overlay", "root"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        for folder in ("gnu", "var-guix"):
            (fs / folder).mkdir(exist_ok=True)
        (fs / "gnu" / "store").mkdir(exist_ok=True)
        self.root = self._root / "root"
        self._mount("-t", "overlay", "-o", f"redirect_dir=on,lowerdir={bench.guix_root},upperdir={self._root}/upper,"
                    f"workdir={self._root}/overlay", "overlay", self.root)
        # The store and its database are on the file system itself, not behind the overlay.
        self._mount("--bind", fs / "gnu", self.root / "gnu")
        self._mount("--bind", fs / "var-guix", self.root / "var" / "guix")
        self._mount("-t", "proc", "proc", self.root / "proc")
        self._mount("--rbind", "/dev", self.root / "dev")
        self._mount("-t", "tmpfs", "tmpfs", self.root / "run")
        key = bench.fixture.key
        etc = self.root / "etc" / "guix"
        (etc / "acl").write_text(key.acl)
        (etc / "signing-key.pub").write_text(key.public)
        (etc / "signing-key.sec").write_text(key.private)
        (etc / "signing-key.sec").chmod(0o400)
        substitutes = [f"--substitute-urls={substitute_urls}"] if substitute_urls else ["--no-substitutes"]
        self._log = bench.work / f"{name}.log"
        self._daemon = Process(*self._inside("guix-daemon", "--disable-chroot", *substitutes), log=self._log)
        self._daemon.wait_until((fs / "var-guix" / "daemon-socket" / "socket").exists)

    def _mount(self, *words):
        run("mount", *words)
        self._mounts.append(words[-1])

    def _inside(self, *command):
        return [*self._prefix, "chroot", self.root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                "USER=root", "LC_ALL=C.UTF-8", "GUILE_AUTO_COMPILE=0", *command]

    def fetch(self, profile, url):
        """Seconds that the daemon takes. The client measures, so that starting Guile does not count."""
        script = self.root / "run" / "fetch.scm"
        script.write_text(f"""
(use-modules (guix store))
(with-store store
  (set-build-options store #:use-substitutes? #t #:substitute-urls '("{url}"))
  (let ((begin (get-internal-real-time)))
    (parameterize ((current-build-output-port (%make-void-port "w")))
      (build-things store '("{profile}")))
    (format #t "seconds ~a~%" (exact->inexact (/ (- (get-internal-real-time) begin) internal-time-units-per-second)))))
""")
        return float(re.search(r"seconds (\S+)", run(*self._inside("guile", "/run/fetch.scm"))).group(1))

    def publish(self, port, cache):
        options = ["--cache=/var/guix/publish"] if cache else []
        self._publish = Process(*self._inside("guix", "publish", "--listen=127.0.0.1", f"--port={port}", "-C", "zstd:3", *options),
                                log=self._log)
        return self._publish

    def close(self):
        for process in (self._publish, self._daemon):
            if process:
                process.stop()
        for place in reversed(self._mounts):
            run("umount", "--recursive", place)
        shutil.rmtree(self._root)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class GuixDaemon:
    name = "guix_daemon"

    def __init__(self, bench):
        self._bench = bench

    def available(self):
        return None if self._bench.guix_root else "no Guix root (tests/guix/root makes it)"

    def run(self, fs, closure, url, prefix=()):
        with GuixHost(self._bench, fs, prefix, substitute_urls=url) as guix:
            return guix.fetch(closure.profile, url)

    @staticmethod
    def store(fs):
        return fs / "gnu" / "store"


class NixCopy:
    """It cannot check Guix's signatures, only the hashes."""
    name = "nix_copy"

    def __init__(self, _):
        pass

    @staticmethod
    def available():
        return None if shutil.which("nix") else "nix-bin is not installed (tests/bench/setup)"

    @staticmethod
    def run(fs, closure, url, prefix=()):
        # A home and a cache of its own each time: it remembers narinfos.
        environment = {"PATH": os.environ["PATH"], "HOME": str(fs / "home"), "NIX_STORE_DIR": "/gnu/store", "LC_ALL": "C.UTF-8"}
        (fs / "home").mkdir()
        return timed(*prefix, "nix", "--extra-experimental-features", "nix-command", "copy", "--no-check-sigs",
                     "--from", f"{url}?store=/gnu/store", "--to", f"local?store=/gnu/store&root={fs}", closure.profile,
                     env=environment)[0]

    @staticmethod
    def store(fs):
        return fs / "nix" / "store"    # of a store named by root=


class ZstdRestore:
    """One item after another, from the files themselves, and nothing is verified."""
    name = "zstd_restore"

    def __init__(self, _):
        pass

    @staticmethod
    def available():
        return None if shutil.which("nix-store") else "nix-bin is not installed (tests/bench/setup)"

    @staticmethod
    def run(fs, closure, url, prefix=()):
        (fs / "store").mkdir()
        (fs / "names").write_text("\n".join(closure.names) + "\n")
        script = ('set -e -o pipefail; while read -r name; do zstd -qdc "$1/nar/$name.nar.zst" |'
                  ' nix-store --restore "$2/store/$name"; done <"$2/names"')
        return timed("bash", "-c", script, "-", closure.folder, fs)[0]

    @staticmethod
    def store(fs):
        return fs / "store"


class CpuFloor:
    """What cannot be saved, spread evenly over two cores: decompressing, SHA-256, creating the files. CPU seconds, so
    that it says the same on a busy machine."""
    name = "cpu_floor"
    CORES = 2

    def __init__(self, bench):
        self._bench = bench
        self.parts = {"decompress": [], "sha256": [], "files": []}

    @staticmethod
    def available():
        return None if shutil.which("cc") else "no C compiler (tests/setup)"

    def run(self, fs, closure, url, prefix=()):
        names = "\n".join(str(closure.nar(name)) for name in closure.items)
        decompress = timed("sh", "-c", 'xargs -d "\\n" zstd -qdc >/dev/null <"$1"', "-", self._file(fs, "nars", names))[1]

        block, size = os.urandom(1 << 20), closure.total("nar_size")
        digest, before = hashlib.sha256(), time.process_time()
        for _ in range(size >> 20):
            digest.update(block)
        digest.update(block[:size & 0xfffff])
        sha256 = time.process_time() - before

        layout = self._bench.work / "layout"
        closure.write_layout(layout)
        (fs / "store").mkdir()
        files = float(run(self._bench.compiled("make_files"), fs / "store", layout))
        for part, seconds in (("decompress", decompress), ("sha256", sha256), ("files", files)):
            self.parts[part].append(seconds)
        return (decompress + sha256 + files) / self.CORES

    @staticmethod
    def _file(fs, name, text):
        (fs / name).write_text(text + "\n")
        return fs / name

    @staticmethod
    def store(fs):
        return fs / "store"


ALL = (Ours, GuixDaemon, NixCopy, ZstdRestore, CpuFloor)
