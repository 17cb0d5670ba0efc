"""Benchmarks of senv: how fast an environment gets onto a node, beside what else could bring it there.

  tests/bench/run NAME [--json FILE]      one benchmark: a table for people, figures for scripts
  tests/bench/run list                    the names, a line each

Every contestant of a comparison runs in turns, on the same machine, from the same server, each time on a new file
system; a ratio is the other's time over senv's, by the medians. So ratios mean something elsewhere, seconds do not. Needs
root, tests/setup and tests/bench/setup, and the Guix root of tests/guix/root for the rivals that are Guix; what is
missing is said and left out. Fixtures are made at first use, in minutes, in the tests' cache folder. A benchmark itself
ends within 8 minutes. Exit status: 0 measured, 1 something was wrong (an incomplete store, an item fetched twice).
"""
import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import fixture
import machine
from bench import LIMIT, Bench

CHECKOUT = Path(__file__).resolve().parents[3]

# Name, what it measures, the parts of the fixture it needs, module and function.
BENCHES = {
    "cold": ("a closure of 2 GB that is absent, against guix-daemon, nix copy, zstd | nix-store --restore",
             ["reference"], "fetching", "cold"),
    "cold-small": ("5,000 items of 2 KB", ["small"], "fetching", "cold_small"),
    "cold-latency": ("100 MB from a server 20 ms away, and through 100 Mbit/s", ["reference"], "fetching", "cold_latency"),
    "cold-single": ("one item of 1.5 GB", ["single"], "fetching", "cold_single"),
    "warm": ("a step on the cluster with and without an environment that is there; senvd's own answer",
             ["warm", "reference"], "warm", "warm"),
    "submit": ("sbatch with and without an environment that is known, on the cluster", [], "submit", "submit"),
    "herd": ("200 clients at once: one absent closure, then 200 profiles that share most items", ["reference"], "crowd", "herd"),
    "memory": ("senvd's anonymous memory, idle and at its highest", ["reference", "small", "single"], "crowd", "memory"),
    "scale-items": ("what a request costs with 1,000, 10,000 and 100,000 items in the store", ["scale", "warm"],
                    "crowd", "scale_items"),
}


def parse():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME", choices=[*BENCHES, "list"], help=", ".join(BENCHES))
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--quick", action="store_true", help="tiny fixtures, one round: does everything work? (what CI asks)")
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of 3")
    parser.add_argument("--only", metavar="RIVAL,…", type=lambda text: text.split(","), help="senv against these rivals alone")
    parser.add_argument("--build", metavar="DIR", default=os.environ.get("SENV_BUILD"),
                        help="a CMake build folder ($SENV_BUILD); without, the preset release is built")
    parser.add_argument("--install", metavar="DIR", default=os.environ.get("SENV_INSTALL"),
                        help="an install tree for `warm` and `submit` ($SENV_INSTALL); without, made from the build")
    parser.add_argument("--guix-root", metavar="DIR", help="what tests/guix/root printed earlier; without, it is asked")
    parser.add_argument("--profile", metavar="FILE", help="write a profile (perf) of one more run of senv into FILE (cold, cold-small, cold-single)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    return parser.parse_args()


def die(text):
    print(f"tests/bench/run: {text}", file=sys.stderr)
    sys.exit(2)


# ----------------------------------------------------------------------- outside: whatever needs the network or a cache

def outside(options):
    if os.geteuid() != 0:
        die("needs root: it makes file systems, namespaces and a cluster")
    build = Path(options.build or CHECKOUT / "build" / "release").absolute()
    if not options.build:
        build_release(build)
    prepared = {"senvd": find(build, "senvd"), "senv": find(build, "senv"), "guix_root": guix_root(options), "install": options.install}
    for part in fixture.Fixture(options.quick).missing(BENCHES[options.name][1]):
        with tempfile.TemporaryDirectory(prefix="senv-bench-") as scratch:
            status = in_namespaces(["--mount", "--pid", "--mount-proc"], "--make", json.dumps([part, scratch]))
        if status:
            die(f"the fixture '{part}' could not be made")
    # Apart, since a file system is mounted on the folder for the work.
    with tempfile.TemporaryDirectory(prefix="senv-bench-") as folder, tempfile.TemporaryDirectory(prefix="senv-bench-") as install:
        prepared["work"] = folder
        if options.name in ("warm", "submit") and not options.install:
            prepared["install"] = install
            machine.run("cmake", "--install", build, "--prefix", "/usr", env={**os.environ, "DESTDIR": install})
        return in_namespaces(["--mount", "--net", "--pid", "--mount-proc"], "--inside", json.dumps(prepared))


def build_release(build):
    print(f"Building {build}", file=sys.stderr)
    machine.run("cmake", "--preset", "release", cwd=CHECKOUT)
    machine.run("cmake", "--build", "--preset", "release", cwd=CHECKOUT)


def find(build, program):
    place = build / "provisioner" / {"senv": "cli", "senvd": "senvd"}[program] / program
    if not place.exists():
        die(f"{place} is not there: give a build folder with --build, or none to build the preset release")
    return str(place)


def guix_root(options):
    if options.name not in ("cold", "cold-small", "cold-latency", "cold-single"):
        return None
    if options.only and "guix_daemon" not in options.only or options.quick and options.name != "cold":
        return None    # in quick mode once is enough: it takes seconds to start
    if options.guix_root:
        return options.guix_root
    result = subprocess.run([CHECKOUT / "tests" / "guix" / "root"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    return result.stdout.strip().splitlines()[-1] if result.returncode == 0 else None


def in_namespaces(kinds, *words):
    """Runs this program again where mounts, processes and perhaps networks are ours alone and end with it."""
    child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", *kinds, "--fork", "--kill-child", "--propagation", "private",
                              sys.executable, "-B", __file__, *sys.argv[1:], *words])

    end_at_signals()
    try:
        return child.wait()
    except SystemExit:
        # Let it stop what it started, a cluster too. unshare itself takes no signal but SIGKILL.
        for pid in machine.tree(child.pid)[1:2]:
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(60)
        raise
    finally:
        child.kill()
        child.wait()


def end_at_signals():
    """The first one; what is done at the end is not to be ended."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number, _):
        for each in numbers:
            signal.signal(each, lambda *_: None)    # SIG_IGN would be passed on to what is started then
        sys.exit(128 + number)
    for each in numbers:
        signal.signal(each, stop)


# ------------------------------------------------------------------------------------------------- inside: the benchmark

def make(options):
    part, scratch = json.loads(options.make)
    machine.run("mount", "-t", "tmpfs", "-o", "mode=700,size=90%", "tmpfs", scratch)
    fixture.Fixture(options.quick).make(part, Path(scratch))
    return 0


def inside(options):
    for name, value in json.loads(options.inside).items():
        setattr(options, name, value)
    work = Path(options.work)
    machine.run("mount", "-t", "tmpfs", "-o", "mode=755,size=90%", "tmpfs", work)
    machine.run("ip", "link", "set", "lo", "up")
    load = [round(machine.busy_cores(), 2)]
    bench = Bench(options, work, fixture.Fixture(options.quick))
    _, _, module, function = BENCHES[options.name]
    try:
        getattr(__import__(module), function)(bench)
    except (RuntimeError, OSError) as error:
        bench.fail(str(error))
    load.append(round(machine.busy_cores(), 2))
    about = {**machine.facts(), "busy_cores_before": load[0], "busy_cores_after": load[1]}
    seconds = LIMIT - bench.left()
    print(f"\n{options.name}: {seconds:.0f} s, {about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; others kept {load[0]} cores busy "
          f"before and {load[1]} after")
    for text in bench.notes:
        print(f"  note: {text}")
    for text in bench.failures:
        print(f"  WRONG: {text}")
    if options.json:
        result = {"bench": options.name, "ratios": bench.ratios, "figures": bench.figures, "machine": about,
                  "quick": options.quick, "notes": bench.notes, "failures": bench.failures}
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
    return 1 if bench.failures else 0


def main():
    options = parse()
    if options.name == "list":
        for name, (text, *_) in BENCHES.items():
            print(f"{name:14} {text}")
        return 0
    if options.make or options.inside:
        end_at_signals()
    if options.make:
        return make(options)
    return inside(options) if options.inside else outside(options)


if __name__ == "__main__":
    sys.exit(main())
