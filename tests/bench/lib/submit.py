"""submit: what an environment that is known costs sbatch, on a login host with a real Guix that must not be started."""
import time
from pathlib import Path

from bench import median_interval, table
from warm import Cluster, Driver, pairs

MANIFESTS = Path(__file__).resolve().parents[2] / "guix" / "manifests"
SBATCH = ("sbatch", "--test-only", "--wrap", "true")
OPTIONS = ("--env-manifest=hello.scm", "--env-channels=channels.scm")


def submit(bench):
    wanted = 2 if bench.quick else 200
    bench.say("starting a cluster")
    with Cluster(bench, guix=True) as cluster:
        home = cluster.path("login", "/home/alice")
        (home / "hello.scm").write_bytes((MANIFESTS / "hello.scm").read_bytes())
        (home / "channels.scm").write_bytes(cluster.path("login", "/srv/channels/channels-1.scm").read_bytes())
        bench.say("resolving with Guix")
        cluster("exec", "senv", "resolve", "-q", "-m", "hello.scm", "-C", "channels.scm")
        # From here on there is none: whoever starts it fails.
        cluster("root", "login", "mv", "/usr/bin/guix", "/usr/bin/guix.away")
        driver = Driver(cluster)
        bench.say("pairs")
        found = pairs(wanted, time.monotonic() + bench.left() - 20,
                      lambda: driver.timed(*SBATCH, *OPTIONS), lambda: driver.timed(*SBATCH))
        driver.close()
    differences = [(with_it - without) * 1000 for with_it, without in found]
    median, low, high = median_interval(differences)
    base = sorted(without for _, without in found)[len(found) // 2] * 1000
    bench.figures.update(paired_ms=round(median, 3), paired_ms_interval=[round(low, 3), round(high, 3)], pairs=len(found),
                         bare_ms=round(base, 3))
    bench.ratios["bare"] = round(base / (base + median), 3)
    table("sbatch --test-only with a known environment beside the same without, ms (allowed: 20 more):",
          ["pairs", "bare", "median difference", "95 % interval"], [[len(found), f"{base:.1f}", f"{median:+.2f}", f"{low:+.2f} … {high:+.2f}"]])
