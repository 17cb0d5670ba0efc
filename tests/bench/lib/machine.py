"""The place that a benchmark runs in: fresh file systems, processes that end with us, and what the machine is."""
import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

NOBODY = 65534
_TICKS = os.sysconf("SC_CLK_TCK")


def run(*command, **options):
    """Runs a small step and returns what it printed; its own words are the message when it fails."""
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed ({result.returncode}): {' '.join(map(str, command))}\n"
                           f"{(result.stdout + result.stderr)[-3000:]}")
    return result.stdout


class FileSystem:
    """A new, empty ext4 in a file of `work`, which is in memory. Creating files on a disk where much was deleted can
    be many times slower for minutes; here every run finds the same."""

    def __init__(self, work, name="fs", megabytes=6144, bytes_per_inode=16384):
        self.path = work / name
        self._image = work / f"{name}.img"
        self.path.mkdir(exist_ok=True)
        with open(self._image, "wb") as image:
            image.truncate(megabytes << 20)
        # The kernel would set up inode tables in the background, during the run.
        run("mkfs.ext4", "-q", "-F", "-i", bytes_per_inode, "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
            self._image)
        run("mount", "-o", "loop,noinit_itable", self._image, self.path)

    def close(self):
        run("umount", self.path)
        self._image.unlink()

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        self.close()


class Process:
    """A program that runs beside us, stopped by its number. Should we be killed, it goes with our pid namespace."""

    def __init__(self, *command, log, **options):
        self.log = Path(log)
        self.command = [str(word) for word in command]
        with open(self.log, "ab") as out:
            options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **options}
            self.popen = subprocess.Popen(self.command, **options)
        self.pid = self.popen.pid

    def wait_until(self, ready, seconds=30):
        limit = time.monotonic() + seconds
        while not ready():
            if self.popen.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended ({self.popen.returncode}); its log ends with:\n{self.tail()}")
            if time.monotonic() > limit:
                self.stop()
                raise RuntimeError(f"{self.command[0]} was not ready after {seconds} s; its log ends with:\n{self.tail()}")
            time.sleep(0.005)
        return self

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self):
        """Ends it, and waits for its children too: they may have files open on what is unmounted next."""
        if self.popen.poll() is None:
            children = tree(self.pid)[1:]
            self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
                raise RuntimeError(f"{self.command[0]} did not end within 20 s after SIGTERM") from None
            limit = time.monotonic() + 5
            while any(map(_runs, children)):
                if time.monotonic() > limit:
                    for child in filter(_runs, children):
                        os.kill(child, signal.SIGKILL)
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def unprivileged(*command):
    """As the senvd service runs: an ordinary user without any capability."""
    return ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
            "--no-new-privs", *command]


def timed(*command, **options):
    """Seconds that a command takes, and the CPU seconds of it and its children."""
    begin = time.monotonic()
    before = os.times()
    run(*command, **options)
    after = os.times()
    return time.monotonic() - begin, (after.children_user - before.children_user + after.children_system - before.children_system)


def tree(pid):
    """A process and all its descendants."""
    found, at = [pid], 0
    while at < len(found):
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{found[at]}/task"):
                found += map(int, Path(f"/proc/{found[at]}/task/{thread}/children").read_text().split())
        at += 1
    return found


def cpu_seconds(pid):
    """CPU time of a process and its descendants so far, those that have ended included."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15]))
    return total / _TICKS


def anonymous_mb(pid):
    """Anonymous memory of a process and its descendants, in MB (10^6 bytes)."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Anonymous:"):
                    total += int(line.split()[1])
    return total * 1024 / 1e6


class PeakMemory:
    """The highest anonymous memory of a process tree while the block runs, looked at 20 times a second."""

    def __init__(self, pid):
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes = 0.0

    def _watch(self):
        while True:
            self.megabytes = max(self.megabytes, anonymous_mb(self._pid))
            if self._stop.wait(0.05):
                return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


class OtherLoad:
    """How many cores others kept busy while the block ran: all that was used, without the processes of our pid namespace.
    The kernel's own threads, which write our files, count as others."""

    @staticmethod
    def _read():
        values = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
        busy = sum(values) - values[3] - values[4]    # not idle, not iowait
        return time.monotonic(), busy / _TICKS - cpu_seconds(1)

    def __enter__(self):
        self._before = self._read()
        return self

    def __exit__(self, *_):
        after = self._read()
        self.cores = max(0.0, (after[1] - self._before[1]) / (after[0] - self._before[0]))


def busy_cores(seconds=1.0):
    with OtherLoad() as load:
        time.sleep(seconds)
    return load.cores


def facts():
    def first(path, label):
        for line in Path(path).read_text().splitlines():
            if line.startswith(label):
                return line.split(":", 1)[1].strip()
        return ""
    return {"cpu": first("/proc/cpuinfo", "model name"), "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release,
            "memory_mb": int(first("/proc/meminfo", "MemTotal").split()[0]) // 1024}


def available_mb():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) // 1024
    return 0
