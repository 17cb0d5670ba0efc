"""Runs on the cluster's login host, inside one salloc: starts the steps that come as lines of JSON on stdin
({"words": […], "variables": {…}}) and answers each with {"seconds": …, "status": …, "output": …}. Copied there by warm.py."""
import json
import os
import subprocess
import sys
import time

# The allocation was made with a plugin that may set variables of its own; each step gets exactly what its line says.
inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_SENV_")}
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    step = json.loads(line)
    begin = time.perf_counter()
    done = subprocess.run(step["words"], env={**inherited, **step["variables"]}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "status": done.returncode, "output": done.stdout.decode(errors="replace")}), flush=True)
