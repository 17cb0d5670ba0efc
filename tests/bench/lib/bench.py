"""What all benchmarks share: their place, the race between rivals, statistics, the table and the JSON."""
import math
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import origin
import rivals
from machine import FileSystem, OtherLoad, available_mb, run

LIMIT = 480    # seconds that a benchmark may take, once its fixture is there


class Bench:
    def __init__(self, options, work, fixture):
        self.quick = options.quick
        self.work = work
        self.fixture = fixture
        self.senvd = Path(options.senvd)
        self.senv = Path(options.senv)
        self.guix_root = Path(options.guix_root) if options.guix_root else None
        self.install = options.install
        self.profile = options.profile
        self.only = options.only
        self.rounds = options.rounds or (1 if options.quick else 3)
        self.begin = time.monotonic()
        self.failures = []
        self.notes = []
        self.figures = {}
        self.ratios = {}

    def left(self):
        """Seconds until the benchmark has to be over."""
        return LIMIT - (time.monotonic() - self.begin)

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", file=sys.stderr, flush=True)

    def fail(self, text):
        """Something is wrong with what was measured, not slow: the benchmark ends with 1."""
        self.failures.append(text)
        self.say(f"WRONG: {text}")

    def note(self, text):
        self.notes.append(text)
        self.say(text)

    def fresh(self, closure=None, name="fs", spare=1):
        """A new file system with room for a closure, and `spare` times its size more."""
        if closure is None:
            return FileSystem(self.work, name, 512)
        files = closure.total("files") + 4 * len(closure.items)
        megabytes = 256 + (closure.total("bytes") + 4096 * files) * (1 + spare) // 1000000
        inodes = 4 * files + 20000
        return FileSystem(self.work, name, megabytes, max(2048, min(16384, (megabytes << 20) // inodes // 1024 * 1024)))

    def compiled(self, name):
        """A program of src/, compiled at first use."""
        program = self.work / name
        if not program.exists():
            run("cc", "-O2", "-Wall", "-o", program, Path(__file__).resolve().parents[1] / "src" / f"{name}.c")
        return program

    def rivals(self, *wanted):
        """The rivals of these names that can run here; the others are named in a note."""
        found = []
        for kind in rivals.ALL:
            if kind.name not in wanted or (self.only and kind.name not in (*self.only, "senv")):
                continue
            rival = kind(self)
            reason = rival.available()
            if reason:
                self.note(f"without {rival.name}: {reason}")
            else:
                found.append(rival)
        return found

    def check(self, closure, store):
        """All items are there, with as many files and bytes as they should have."""
        for name, item in closure.items.items():
            files = size = 0
            folders = [store / name]
            while folders:
                try:
                    entries = list(os.scandir(folders.pop()))
                except OSError as error:
                    return f"{name}: {error.strerror}"
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
            if (files, size) != (item["files"], item["bytes"]):
                return f"{name}: {files} files of {size} bytes instead of {item['files']} of {item['bytes']}"
        return None

    def race(self, closure, contestants, url, rounds=None, reserve=0, prefix=()):
        """Lets each fetch the closure into a fresh file system, round after round, in an order that changes. Returns
        {name: [seconds…]}. Stops before the time is over, keeping `reserve` seconds for what comes later."""
        rounds = rounds or self.rounds
        times = {rival.name: [] for rival in contestants}
        for number in range(rounds):
            begin = time.monotonic()
            turn = number % len(contestants)
            for rival in contestants[turn:] + contestants[:turn]:
                origin.warm(closure)
                with self.fresh(closure) as fs:
                    with OtherLoad() as load:
                        seconds = rival.run(fs, closure, url, prefix)
                    wrong = self.check(closure, rival.store(fs))
                times[rival.name].append(seconds)
                self.say(f"round {number + 1}: {rival.name} {seconds:.3f} s (others and the kernel: {load.cores:.1f} cores)")
                if wrong:
                    self.fail(f"{rival.name} left the store incomplete: {wrong}")
            took = time.monotonic() - begin
            if number + 1 < rounds and self.left() - reserve < took * 1.15:
                self.note(f"only {number + 1} of {rounds} rounds: there was no time for more")
                break
        return times

    def compare(self, title, times, suffix="", ours="senv"):
        """Prints the table of a race; remembers ratios and figures under the rivals' names with a suffix."""
        rows = []
        own = statistics.median(times[ours])
        self.figures[f"{ours}{suffix}_s"] = round(own, 4)
        for name, seconds in times.items():
            median = statistics.median(seconds)
            if name != ours:
                self.ratios[name + suffix] = round(median / own, 3)
                self.figures[f"{name}{suffix}_s"] = round(median, 4)
            rows.append([name, " ".join(f"{one:.2f}" for one in seconds), f"{median:.2f}", "" if name == ours else f"{median / own:.2f}"])
        self.figures[f"rounds{suffix}"] = len(times[ours])
        table(title, ["", "seconds of each run", "median", "its time / senv's"], rows)

    def enough_memory(self, megabytes):
        free = available_mb()
        if free < megabytes:
            raise RuntimeError(f"this needs {megabytes} MB of free memory for file systems in memory, and {free} MB are available")


def table(title, head, rows):
    print(f"\n{title}")
    cells = [head] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, math.ceil(part * len(values)) - 1)]


def median_interval(values, samples=2000):
    """The median and the interval that holds it with 95 % confidence, by bootstrap (the same one each time)."""
    dice = random.Random(1)
    medians = sorted(statistics.median(dice.choices(values, k=len(values))) for _ in range(samples))
    return statistics.median(values), medians[int(samples * 0.025)], medians[int(samples * 0.975)]
