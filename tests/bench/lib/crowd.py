"""herd, memory, scale-items: many clients, little memory, many items."""
import contextlib
import statistics
import threading
import time
from pathlib import Path

import origin
from bench import percentile, table
from machine import FileSystem, PeakMemory, anonymous_mb, tree
from ours import Senvd, provision

IDLE_MB, PEAK_MB = 20, 96    # what senvd may use


def together(bench, senvd, profiles):
    """Each profile asked for by a client of its own, all at the same moment. Returns the seconds that each waited."""
    seconds, errors = [None] * len(profiles), []
    start = threading.Barrier(len(profiles))

    def ask(at):
        start.wait()
        try:
            seconds[at] = provision(senvd.socket, profiles[at])
        except (OSError, RuntimeError) as error:
            errors.append(str(error))
    clients = [threading.Thread(target=ask, args=(at,)) for at in range(len(profiles))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if errors:
        bench.fail(f"{len(errors)} of {len(profiles)} clients got no plan; the first: {errors[0]}")
    return [one for one in seconds if one is not None]


def asked_once(bench, requests, closures, what):
    """Compares the server's access log with what was needed. Returns the highest number of requests for one file."""
    names = {name for closure in closures for name in closure.items}
    wanted = {f"/nar/{name}.nar.zst" for name in names} | {f"/{name[:32]}.narinfo" for name in names}
    missing = sorted(wanted - set(requests))
    often = sorted(uri for uri in wanted if requests[uri] > 1)
    if missing:
        bench.fail(f"{what}: {len(missing)} files were never asked for, {missing[0]} among them")
    if often:
        bench.fail(f"{what}: {len(often)} files were asked for more than once, {often[0]} {requests[often[0]]} times")
    return max((requests[uri] for uri in wanted), default=0)


def herd(bench):
    part = bench.fixture["reference"]
    closure = part.closure("reference")
    many = part.closures("herd-")
    print(f"Closure: {closure.describe()}")
    bench.enough_memory(200 if bench.quick else 5000)
    with origin.Nginx(bench.work, part) as nginx:
        alone, crowd, shared, waits, peak = [], [], [], [], 0.0
        for number in range(bench.rounds):
            for profiles, into in (([closure.profile], alone), ([closure.profile] * 200, crowd), ([c.profile for c in many], shared)):
                closures = many if into is shared else [closure]
                origin.warm(closure)
                with bench.fresh(closure) as fs, Senvd(bench, fs, nginx.url) as senvd:
                    nginx.requests()
                    with PeakMemory(senvd.pid) as memory:
                        seconds = together(bench, senvd, profiles)
                    if not seconds:
                        continue
                    into.append(max(seconds))
                    what = f"{len(profiles)} clients, {len(set(profiles))} profiles"
                    bench.say(f"round {number + 1}: {what}: {max(seconds):.2f} s")
                    most = asked_once(bench, nginx.requests(), closures, what)
                    bench.figures["requests_for_one_file"] = max(most, bench.figures.get("requests_for_one_file", 0))
                    if into is not alone:
                        peak = max(peak, memory.megabytes)
                        wrong = bench.check(closures[0], senvd.store) or bench.check(closures[-1], senvd.store)
                        if wrong:
                            bench.fail(f"{what}: incomplete store: {wrong}")
                    if into is crowd:
                        waits += seconds
            if bench.left() < 3 * sum(one[-1] for one in (alone, crowd, shared) if one) + 30:
                break
    if not (alone and crowd and shared):
        return
    medians = [statistics.median(one) for one in (alone, crowd, shared)]
    bench.ratios["one_client"] = round(medians[0] / medians[1], 3)
    bench.figures.update(one_client_s=round(medians[0], 3), herd_s=round(medians[1], 3), herd_profiles_s=round(medians[2], 3),
                         herd_first_answer_s=round(min(waits), 3), peak_anonymous_mb=round(peak, 1), rounds=len(shared))
    table("Until the last client has its plan:", ["", "seconds of each run", "median", "one client's time / its"],
          [[name, " ".join(f"{one:.2f}" for one in values), f"{median:.2f}", f"{medians[0] / median:.2f}"] for name, values, median in
           zip(("one client", "200 clients, one closure", f"200 clients, {len(many)} profiles"), (alone, crowd, shared), medians)])
    print(f"  one file was asked for {bench.figures['requests_for_one_file']} times at most; anonymous memory {peak:.1f} MB at most")


def memory(bench):
    """Anonymous memory of senvd and its children."""
    phases = [("cold", "reference", "reference", 1), ("cold-small", "small", "small", 1), ("cold-single", "single", "single", 1),
              ("herd of 200", "reference", "reference", 200)]
    bench.enough_memory(200 if bench.quick else 6000)
    rows, idle, peaks = [], [], {}
    for label, part, name, clients in phases:
        closure = bench.fixture[part].closure(name)
        origin.warm(closure)
        with origin.Nginx(bench.work, bench.fixture[part]) as nginx, bench.fresh(closure) as fs:
            with Senvd(bench, fs, nginx.url) as senvd:
                time.sleep(0.2 if bench.quick else 1)
                before = anonymous_mb(senvd.pid)
                with PeakMemory(senvd.pid) as peak:
                    together(bench, senvd, [closure.profile] * clients)
                time.sleep(0.2 if bench.quick else 2)
                after, processes = anonymous_mb(senvd.pid), len(tree(senvd.pid))
            with Senvd(bench, fs, nginx.url) as senvd:
                provision(senvd.socket, closure.profile)
                reopened = anonymous_mb(senvd.pid)
        idle += [before, after, reopened]
        peaks[label] = peak.megabytes
        bench.say(f"{label}: {peak.megabytes:.1f} MB at most")
        rows.append([label, f"{before:.1f}", f"{peak.megabytes:.1f}", f"{after:.1f}", f"{reopened:.1f}", processes])
    table(f"Anonymous memory in MB (allowed: {IDLE_MB} idle, {PEAK_MB} at most):",
          ["", "started", "highest", "2 s after", "restarted", "processes"], rows)
    bench.figures.update(idle_mb=round(max(idle), 1), peak_mb=round(max(peaks.values()), 1),
                         peaks_mb={label: round(peak, 1) for label, peak in peaks.items()})
    bench.ratios.update(idle_limit=round(IDLE_MB / max(idle), 2), peak_limit=round(PEAK_MB / max(peaks.values()), 2))


def _thread_ns(pid):
    """CPU time of a process tree to the nanosecond, of what is alive."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
    return total


def scale_items(bench):
    part, warm = bench.fixture["scale"].unpacked(bench.work), bench.fixture["warm"].closure("warm")
    closures = part.closures("scale-")
    each = len(closures[0].items)
    steps = [1, 2, 3] if bench.quick else [1, 10, 100]    # closures
    calls = 60 if bench.quick else 2000
    bench.enough_memory(200 if bench.quick else 4000)
    rows, costs, opened = [], {}, []
    with origin.Nginx(bench.work, part) as nginx, origin.Nginx(bench.work, bench.fixture["warm"], port=origin.PORT + 2) as other:
        everything = sum(closure.total("files") for closure in closures) + 5 * len(closures) * each
        size = 512 + everything * 8192 // 1000000
        with FileSystem(bench.work, "fs", size, 2048) as fs:
            senvd = Senvd(bench, fs, other.url, nginx.url)
            try:
                senvd.fetch(warm.profile)
                have = 0
                for step in steps:
                    begin, new = time.monotonic(), 0
                    for closure in closures[have:step]:
                        if bench.left() < 90:
                            break
                        senvd.fetch(closure.profile)
                        new += each
                    took = time.monotonic() - begin
                    have = min(step, have + new // each)
                    items = have * each
                    bench.say(f"{items} items in the store")
                    time.sleep(0.1 if bench.quick else 6)    # until what goes on behind the answers (syncfs) is over
                    seconds, batches = [], []
                    for _ in range(20):    # the median, since a timer of senvd's may fall into one
                        before = _thread_ns(senvd.pid)
                        seconds += [provision(senvd.socket, warm.profile) for _ in range(calls // 20)]
                        batches.append((_thread_ns(senvd.pid) - before) / (calls // 20) / 1000)
                    cpu = statistics.median(batches)
                    costs[items] = cpu
                    rows.append([items, f"{statistics.median(seconds) * 1000:.3f}", f"{percentile(seconds, 0.99) * 1000:.3f}", f"{cpu:.0f}",
                                 f"{took / max(new, 1) * 1000:.2f}", f"{anonymous_mb(senvd.pid):.1f}"])
                    bench.figures[f"request_ms_{items}"] = round(statistics.median(seconds) * 1000, 4)
                    bench.figures[f"request_cpu_us_{items}"] = round(cpu, 1)
                    bench.figures[f"fetch_ms_per_item_{items}"] = round(took / max(new, 1) * 1000, 3)
                    if have < step:
                        bench.note(f"only {items} items: there was no time to fetch {step * each}")
                        break
                for _ in range(3):
                    senvd.stop()
                    opened.append(senvd.start())
                    provision(senvd.socket, closures[0].profile)
            finally:
                senvd.stop()
    first, last = min(costs), max(costs)
    table(f"A request for an environment of {len(warm.items)} items, by what else is in the store:",
          ["items", "median ms", "p99 ms", "CPU µs", "ms to fetch one more", "idle MB"], rows)
    bench.figures.update(items=last, open_s=round(statistics.median(opened), 3))
    bench.ratios["fewest_items"] = round(costs[first] / costs[last], 3)
    print(f"  {first} items cost {bench.ratios['fewest_items']:.2f} times the CPU of {last}; a store of {last} items answers "
          f"{bench.figures['open_s']:.3f} s after the start of senvd (after a clean stop)")
