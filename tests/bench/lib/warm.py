"""warm: what an environment that the node has costs a step, on the real cluster; and how soon senvd answers."""
import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import origin
from bench import median_interval, percentile, table
from machine import run
from ours import Senvd, provision

CLUSTER = Path(__file__).resolve().parents[2] / "cluster" / "cluster"
STEPS = Path(__file__).resolve().parents[1] / "src" / "steps.py"
SHOW = ("sh", "-c", "echo $GUIX_ENVIRONMENT; ls /gnu/store | wc -l")    # nothing and 0 outside of an environment


def warm(bench):
    answers(bench)
    steps(bench)


# ------------------------------------------------------------------------------------------------- senvd's own answer

def answers(bench):
    have, absent = bench.fixture["warm"].closure("warm"), bench.fixture["reference"].closure("reference")
    print(f"The environment that is there: {have.describe()}")
    print(f"Fetched beside it: {absent.describe()}")
    bench.enough_memory(200 if bench.quick else 5000)
    idle, busy = [], []
    with origin.Nginx(bench.work, bench.fixture["warm"], port=origin.PORT + 2) as few, \
            origin.Nginx(bench.work, bench.fixture["reference"]) as many:
        for number in range(bench.rounds):
            origin.warm(absent)
            with bench.fresh(absent) as fs, Senvd(bench, fs, many.url, few.url) as senvd:
                senvd.fetch(have.profile)
                idle += _answers(senvd, have.profile, lambda count: count >= (50 if bench.quick else 1000))
                fetch = subprocess.Popen([bench.senv, "fetch", "-q", "--socket", senvd.socket, absent.profile], stdin=subprocess.DEVNULL)
                beside = _answers(senvd, have.profile, lambda _: fetch.poll() is not None)
                if fetch.returncode:
                    bench.fail(f"senv fetch beside the requests ended with {fetch.returncode}")
                busy += beside
                bench.say(f"round {number + 1}: {len(beside)} answers during a fetch")
            if bench.left() < 300:
                break
    rows = []
    for label, seconds in (("idle", idle), ("during_fetch", busy)):
        ms = [one * 1000 for one in seconds]
        figures = {"median": statistics.median(ms), "p99": percentile(ms, 0.99), "max": max(ms)}
        bench.figures.update({f"answer_{label}_{name}_ms": round(value, 3) for name, value in figures.items()})
        rows.append([label.replace("_", " "), len(ms)] + [f"{value:.3f}" for value in figures.values()])
    table("senvd's answer in ms, from connecting to the plan (a lease taken each time):", ["", "requests", "median", "p99", "highest"], rows)


def _answers(senvd, profile, enough):
    seconds = []
    while not enough(len(seconds)):
        seconds.append(provision(senvd.socket, profile))
        time.sleep(0.002)
    return seconds


# --------------------------------------------------------------------------------------------------- steps on a cluster

class Cluster:
    """One node with 64 made-up CPUs; its own name, so that it stands beside others."""

    def __init__(self, bench, guix=False):
        self._environment = {**os.environ, "SENV_CLUSTER": f"bench{os.getpid()}-{time.time_ns() % 1000000}"}
        try:
            self("start", "--nodes", 1, *([] if guix else ["--no-guix"]), "--install", bench.install)
        except BaseException:    # also the end of this program: what was begun is there
            self("stop")
            raise

    def __call__(self, *words, **options):
        return run(CLUSTER, *words, env=self._environment, **options)

    def path(self, host, name):
        return Path(self("path", host, name).strip())

    def popen(self, *words, **options):
        return subprocess.Popen([str(CLUSTER), *map(str, words)], env=self._environment, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self("stop")


class Driver:
    """steps.py on the login host, perhaps started by another command."""

    def __init__(self, cluster, *starter):
        home = cluster.path("login", "/home/alice")
        shutil.copy(STEPS, home / "steps.py")
        self._process = cluster.popen("exec", *starter, "python3", "steps.py", stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._read()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver ended: {self._process.stderr.read()}")
        return json.loads(line)

    def run(self, *words, **variables):
        self._process.stdin.write(json.dumps({"words": words, "variables": variables}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def timed(self, *words, **variables):
        result = self.run(*words, **variables)
        if result["status"]:
            raise RuntimeError(f"{' '.join(words)} failed: {result['output']}")
        return result["seconds"]

    def close(self):
        self._process.stdin.close()
        self._process.wait(30)


def step(tasks, *command):
    # --overlap: the next step need not wait until the controller has heard of the last one's end.
    return ["srun", "--overlap", "--mpi=none", f"-n{tasks}", *command]


def steps(bench):
    closure = bench.fixture["warm"].closure("warm")
    inside = {"SLURM_SENV_RESOLUTION": f"1 {closure.profile} lock={'0' * 64} channels= enter=plain from=bench"}
    wanted = 2 if bench.quick else 200
    bench.say("starting a cluster")
    with Cluster(bench) as cluster:
        _serve(cluster, bench, closure)
        cluster("root", "n1", "senv", "fetch", "-q", closure.profile)
        driver = Driver(cluster, "salloc", "--quiet", "-N1", "-n64")
        _check_environment(bench, driver, closure, inside)
        one, many = step(1, "/usr/bin/true"), step(64, "/usr/bin/true")
        results = {}
        # The time that is left is shared: 64 tasks take longest.
        for name, share, run_pairs in (
                ("1", 0.3, lambda end: pairs(wanted, end, lambda: driver.timed(*one, **inside), lambda: driver.timed(*one))),
                ("unused", 0.45, lambda end: _unused_pairs(bench, wanted, end, cluster, driver, inside)),
                ("64", 0.95, lambda end: pairs(wanted, end, lambda: driver.timed(*many, **inside), lambda: driver.timed(*many)))):
            bench.say(f"pairs: {name}")
            results[name] = run_pairs(time.monotonic() + (bench.left() - 20) * share)
        driver.close()
    rows = []
    for name, title in (("1", "environment, 1 task"), ("64", "environment, 64 tasks"), ("unused", "plugin, no option, 1 task")):
        differences = [(with_it - without) * 1000 for with_it, without in results[name]]
        median, low, high = median_interval(differences)
        base = statistics.median(without for _, without in results[name]) * 1000
        bench.figures.update({f"paired_ms_{name}": round(median, 3), f"paired_ms_{name}_interval": [round(low, 3), round(high, 3)],
                              f"paired_ms_{name}_pairs": len(differences), f"bare_ms_{name}": round(base, 3)})
        bench.ratios[f"bare_{name}"] = round(base / (base + median), 3)
        rows.append([title, len(differences), f"{base:.1f}", f"{median:+.2f}", f"{low:+.2f} … {high:+.2f}"])
        if len(differences) < wanted:
            bench.note(f"only {len(differences)} of {wanted} pairs: {title}")
    table("A step beside the same step without it, ms:", ["", "pairs", "bare step", "median difference", "95 % interval"], rows)


def _serve(cluster, bench, closure):
    """The items come from an nginx on the login host, which sees nothing of the fixture's folder."""
    place = cluster.path("login", "/srv") / "bench"
    (place / "www" / "nar").mkdir(parents=True)
    for name in closure.items:
        shutil.copy(closure.folder / f"{name[:32]}.narinfo", place / "www")
        shutil.copy(closure.nar(name), place / "www" / "nar")
    (place / "nginx.conf").write_text("user root; pid /srv/bench/pid; events {} error_log /srv/bench/error.log;\n"
                                      "http { access_log off; server { listen 8085; root /srv/bench/www; } }\n")
    cluster("root", "login", "nginx", "-c", "/srv/bench/nginx.conf")
    senv = cluster.path("n1", "/etc/senv")
    (senv / "acl").write_text(bench.fixture.key.acl)
    (senv / "senvd.toml").write_text('origins = ["http://login:8085"]\n')
    cluster("service", "n1", "senvd", "restart")


def _check_environment(bench, driver, closure, inside):
    """Both kinds of step are what they are taken for."""
    entered, bare = driver.run(*step(1, *SHOW), **inside), driver.run(*step(1, *SHOW))
    if entered["output"].split() != [closure.profile, str(len(closure.items))]:
        bench.fail(f"the step is not in the environment: {entered['output']}")
    if bare["output"].split()[:1] != ["0"]:
        bench.fail(f"the bare step is in an environment: {bare['output']}")


def pairs(wanted, end, with_it, without):
    """The two in turns, the order changing from pair to pair."""
    found = []
    with_it(), without()    # the first of a kind is slower
    while len(found) < wanted and time.monotonic() < end:
        if len(found) % 2:
            found.append((with_it(), without()))
        else:
            second = without()
            found.append((with_it(), second))
    return found


def _unused_pairs(bench, wanted, end, cluster, driver, inside):
    """srun and slurmstepd read plugstack.conf anew for each step, so that a line can come and go between two."""
    lines = [cluster.path(host, "/etc/slurm/plugstack.conf.d/senv.conf") for host in ("login", "n1")]

    def timed(present):
        for line in lines:
            here, away = line, line.with_suffix(".away")
            if present and away.exists():
                away.rename(here)
            elif not present and here.exists():
                here.rename(away)
        return driver.timed(*step(1, "/usr/bin/true"))
    try:
        timed(False)
        without = driver.run(*step(1, *SHOW), **inside)
        if without["output"].split()[:1] != ["0"]:
            bench.fail(f"the step without the plugin's line has the plugin: {without['output']}")
        return pairs(wanted, end, lambda: timed(True), lambda: timed(False))
    finally:
        timed(True)
