"""cold, cold-small, cold-latency, cold-single: how long until a closure that is absent can be used."""
import re
import signal
import statistics
import time
import urllib.error
import urllib.request

import origin
from machine import Process, run, tree
from ours import Senvd
from rivals import CpuFloor, GuixHost, Ours

PUBLISH_PORT = 8090


def cold(bench):
    closure = bench.fixture["reference"].closure("reference")
    print(f"Reference closure: {closure.describe()}")
    # With the second table a whole Guix store is kept beside the store of the moment.
    bench.enough_memory(200 if bench.quick else 9000)
    contestants = bench.rivals("senv", "guix_daemon", "nix_copy", "zstd_restore", "cpu_floor")
    with origin.Nginx(bench.work, bench.fixture["reference"]) as nginx:
        times = bench.race(closure, contestants, nginx.url, reserve=0 if bench.quick else 180)
        bench.compare("Until all items can be used, served by nginx:", times)
        _say_parts(bench, contestants)
        _profile(bench, closure, nginx.url)
        if any(rival.name == "guix_daemon" for rival in contestants):
            _published(bench, closure, nginx, [rival for rival in contestants if rival.name in ("senv", "guix_daemon")])


def _profile(bench, closure, url):
    """Where senvd's time goes: one more run, looked at by perf 1,000 times a second."""
    if not bench.profile:
        return
    origin.warm(closure)
    data = bench.work / "perf.data"
    with bench.fresh(closure) as fs, Senvd(bench, fs, url) as senvd:
        # The clock of the CPU, since virtual machines often have no counters.
        with Process("perf", "record", "-q", "-e", "cpu-clock", "-F", 999, "-g", "-p", ",".join(map(str, tree(senvd.pid))), "-o", data,
                     log=bench.work / "perf.log", cwd=bench.work) as perf:
            perf.wait_until(data.exists)
            time.sleep(0.3)
            seconds = senvd.fetch(closure.profile)
            perf.popen.send_signal(signal.SIGINT)    # unlike SIGTERM it lets perf write its end
            perf.popen.wait()
        report = ("perf", "report", "-i", data, "--stdio", "-g", "none", "--percent-limit", "0.4")
        tables = [("by library, each alone", ["--no-children", "--sort", "dso"]),
                  ("by function, each alone", ["--no-children", "--sort", "dso,symbol"]),
                  ("by function, with all that it calls", ["--children", "--sort", "symbol"])]
        with open(bench.profile, "w") as out:
            out.write(f"{closure.describe()}; this run took {seconds:.2f} s\n")
            for title, words in tables:
                out.write(f"\n{title}:\n")
                for line in run(*report, *words).splitlines():
                    # Functions of libraries without symbols are many numbers that say nothing.
                    if line.strip() and not line.startswith("#") and " 0x0" not in line:
                        out.write(re.sub(r"  -  +-? *$", "", line).rstrip() + "\n")
    bench.say(f"the profile is in {bench.profile}")


def _say_parts(bench, contestants):
    for rival in contestants:
        if isinstance(rival, Ours) and rival.cpu:
            bench.figures["senv_cpu_s"] = round(statistics.median(rival.cpu), 3)
            print(f"  senvd used {statistics.median(rival.cpu):.2f} core-seconds")
        if isinstance(rival, CpuFloor):
            parts = {part: round(statistics.median(seconds), 3) for part, seconds in rival.parts.items()}
            bench.figures["cpu_floor_core_s"] = parts
            print(f"  cpu_floor: {', '.join(f'{part} {seconds:.2f}' for part, seconds in parts.items())} core-seconds over "
                  f"{CpuFloor.CORES} cores")


def _published(bench, closure, nginx, contestants):
    """The second table: the real `guix publish`. Its store is filled by a guix-daemon first."""
    url = f"http://127.0.0.1:{PUBLISH_PORT}"
    bench.say("filling a Guix store for guix publish")
    with bench.fresh(closure, "published", spare=2) as fs, GuixHost(bench, fs, name="publisher", substitute_urls=nginx.url) as guix:
        guix.fetch(closure.profile, nginx.url)
        for cache, suffix in ((False, "_publish"), (True, "_publish_cache")):
            with guix.publish(PUBLISH_PORT, cache) as server:
                server.wait_until(lambda: origin.listening(PUBLISH_PORT))
                if cache and not _baked(bench, closure, url):
                    return
                times = bench.race(closure, contestants, url, reserve=0 if cache or bench.quick else bench.left() / 2)
                bench.compare(f"Served by guix publish {'--cache, all baked' if cache else 'without --cache'}:", times, suffix)


def _baked(bench, closure, url):
    """Asks until guix publish has everything in its cache: a narinfo says so by giving the size of the compressed nar."""
    begin, waiting = time.monotonic(), set(closure.items)
    while waiting:
        for name in sorted(waiting):
            try:
                with urllib.request.urlopen(f"{url}/{name[:32]}.narinfo") as answer:
                    if b"\nFileSize:" in answer.read():
                        waiting.discard(name)
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
        if bench.left() < 60:
            bench.note(f"without guix publish --cache: {len(waiting)} items were not baked in time")
            return False
        time.sleep(0.2)
    bench.say(f"guix publish --cache has baked everything in {time.monotonic() - begin:.0f} s")
    return True


def cold_small(bench):
    closure = bench.fixture["small"].closure("small")
    print(f"Many small items: {closure.describe()}")
    bench.enough_memory(200 if bench.quick else 2000)
    contestants = bench.rivals("senv", "guix_daemon", "nix_copy", "zstd_restore", "cpu_floor")
    with origin.Nginx(bench.work, bench.fixture["small"]) as nginx:
        times = bench.race(closure, contestants, nginx.url)
        bench.compare("Until all items can be used:", times)
        _say_parts(bench, contestants)
        _profile(bench, closure, nginx.url)
    bench.figures["ms_per_item"] = round(bench.figures["senv_s"] * 1000 / len(closure.items), 3)
    print(f"  {bench.figures['ms_per_item']} ms an item")


def cold_latency(bench):
    closure = bench.fixture["reference"].closure("latency")
    print(f"Closure: {closure.describe()}")
    bench.enough_memory(200 if bench.quick else 1500)
    contestants = bench.rivals("senv", "guix_daemon", "nix_copy")
    with origin.Nginx(bench.work, bench.fixture["reference"]) as nginx:
        with origin.Relay(bench.work, nginx.port, 0.020) as relay:
            times = bench.race(closure, contestants, relay.url, reserve=bench.left() / 2)
            bench.compare("A server that is 20 ms away:", times, "_20ms")
        with origin.Link(bench.work, 100) as link:
            times = bench.race(closure, contestants, link.url, prefix=link.prefix)
        # What the line itself takes: nothing can be faster, so this ratio is below 1.
        times["line"] = [closure.total("file_size") * 8 / 100e6]
        bench.compare("A link of 100 Mbit/s (line: the compressed bytes alone):", times, "_100mbit")


def cold_single(bench):
    closure = bench.fixture["single"].closure("single")
    print(f"One large item: {closure.describe()}")
    bench.enough_memory(200 if bench.quick else 6000)
    contestants = bench.rivals("senv", "guix_daemon", "nix_copy", "zstd_restore", "cpu_floor")
    with origin.Nginx(bench.work, bench.fixture["single"]) as nginx:
        times = bench.race(closure, contestants, nginx.url)
        bench.compare("Until it can be used:", times)
        _say_parts(bench, contestants)
        _profile(bench, closure, nginx.url)
