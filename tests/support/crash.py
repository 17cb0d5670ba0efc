#!/usr/bin/env python3
"""crash.py --build DIR [--kills N] [--seed N]: kills senvd (SIGKILL) N times, each time inside a cold fetch, and looks at
what it left and what the next one makes of it.

A kill counts when bytes of nars had come and the closure was not complete. Half of the moments are anywhere in the fetch, by
the bytes that the server has sent; half are around the end of an item, when it is checked, placed and recorded.

After every kill: the next start leaves nothing in staging/; everything in store/ is as it was signed and in the catalog;
what was recorded is still valid, and is not fetched again; a leased closure is untouched, and gc does not evict it.
Exit status: 0, or 1 with what was wrong and the seed.
"""
import os
import threading
import time
from pathlib import Path

import items
import node
import origin
from node import check

CHECKOUT = Path(__file__).resolve().parents[2]
ITEMS = 24


class Slow(origin.Origin):
    """A server that takes its time, and wakes the killer at the moment that it wants."""

    def rule(self):
        if not self.server.seconds or not self.path.startswith("/nar/"):
            return "ok", ""
        return "drip", str(self.server.random.uniform(0, self.server.seconds))

    def send(self, data):
        super().send(data)
        if self.path.startswith("/nar/"):
            self.server.nar_sent(self.path, len(data))


class Server(origin.Server):
    def __init__(self, log, rng, published):
        super().__init__(published.folder, log, handler=Slow)
        self.random = rng
        self.seconds = 0.25  # for an item, at most
        self.published = published
        self.moment = threading.Event()
        self.expect(None, None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def expect(self, after_bytes, after_item):
        """`moment` is set when so many bytes of nars have been sent, or the whole nar of that item."""
        with self.lock:
            self.sent, self.by_path = 0, {}
            self.after_bytes = after_bytes
            self.after_path = after_item and self.published.items[after_item].nar_url
            self.after_size = after_item and self.published.packed_size(after_item)
            self.moment.clear()

    def nar_sent(self, path, count):
        with self.lock:
            self.sent += count
            self.by_path[path] = self.by_path.get(path, 0) + count
            if (self.after_bytes is not None and self.sent >= self.after_bytes) or (
                    self.after_path is not None and self.by_path.get(self.after_path, 0) >= self.after_size):
                self.moment.set()


class Trial:
    def __init__(self, work, build, rng):
        self.rng = rng
        folder = work / "served"
        folder.mkdir()
        self.published = items.Published(str(folder), f"{build}/tests/support",
                                         str(CHECKOUT / "tests/golden/narinfo/signing-key.sec"))
        held = self.published.add_random("held", 4, rng, most_bytes=20_000)
        self.held_profile = self.published.add_profile("held-profile", held)
        self.held = self.published.closure(self.held_profile)
        self.profile = self.published.add_profile("cold-profile", self.published.add_random("cold", ITEMS, rng))
        self.cold = self.published.closure(self.profile)
        self.server = Server(str(work / "server.log"), rng, self.published)
        self.node = node.Node(work / "node", build, CHECKOUT, [self.server.url], "grace = 0\ndownloads = 4")
        self.node.start()
        self.step = self.node.hold(self.held_profile, 7)
        self.held_inodes = self.inodes()

    def inodes(self):
        return {base: os.lstat(self.node.state / "store" / base).st_ino for base in self.held}

    def check_step(self):
        check(self.step.poll() is None, "the step that holds a lease is gone")
        check(self.inodes() == self.held_inodes, "the leased closure was touched")

    def evict(self):
        kept = self.node.gc()["kept"]
        check(any(one["why"] == "leased by job 7 step 0" for one in kept), f"gc keeps {kept}")
        left = self.node.check_store(self.published)
        check(left == self.held, f"after gc there is, beside the leased closure: {sorted(left ^ self.held)}")

    def kill_once(self):
        """False when the fetch was over before the kill."""
        valid = self.node.check_store(self.published)
        missing = sorted(self.cold - valid)
        if len(missing) < 3:
            self.evict()
            valid, missing = set(self.held), sorted(self.cold)
        if self.rng.random() < 0.5:
            total = sum(self.published.packed_size(base) for base in missing)
            self.server.expect(max(1, int(total * self.rng.random())), None)
            delay = self.rng.choice([0, self.rng.uniform(0, 0.05)])
        else:
            self.server.expect(None, self.rng.choice(missing))
            delay = self.rng.choice([0, 0.002, self.rng.uniform(0, 0.03)])
        request = self.node.provision(self.profile)
        check(self.server.moment.wait(120), "the fetch came to no end")
        time.sleep(delay)
        self.node.kill()
        kind, _ = request.answer()
        with self.server.lock:
            asked, sent = set(self.server.by_path), self.server.sent
        again = [base for base in valid if self.published.items[base].nar_url in asked]
        check(not again, f"fetched although it was complete: {again}")
        recorded = self.node.recorded()
        check(valid <= recorded, f"was valid, and lost its row: {sorted(valid - recorded)}")
        inside = kind is None and sent > 0 and not self.cold <= recorded

        self.node.start()
        check(not os.listdir(self.node.state / "staging"), "staging/ is not empty after a start")
        found = self.node.check_store(self.published)
        check(found == recorded, f"the next start lost or made up: {sorted(found ^ recorded)}")
        self.check_step()
        if self.rng.random() < 0.2:
            self.evict()
        return inside, len(recorded & self.cold)

    def finish(self):
        self.node.provide(self.profile)
        check(self.node.check_store(self.published) == self.cold | self.held, "the closure is not whole at the end")
        self.step.kill()
        self.step.wait()
        node.wait_until(lambda: not self.node.status()["leases"], 20, "the lease of a dead step to go")
        self.node.gc()
        check(not self.node.check_store(self.published), "something stays although nobody uses it")
        self.node.provide(self.held_profile)
        self.node.stop()
        self.node.check_log()

    def close(self):
        self.step.kill()
        self.node.close()
        self.server.shutdown()

    def tail(self):
        return self.node.tail()


def main():
    parser = node.options_of_trial()
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with node.trial_of(lambda folder, rng: Trial(folder, options.build, rng), options, "crash") as trial:
        hits = []
        for _ in range(options.kills * 3):
            if len(hits) == options.kills:
                break
            inside, items_there = trial.kill_once()
            if inside:
                hits.append(items_there)
        check(len(hits) == options.kills, f"only {len(hits)} kills of {options.kills * 3} were inside a fetch")
        trial.finish()
        print(f"{len(hits)} kills inside a fetch of {len(trial.cold)} items; complete then: {sorted(hits)}")


if __name__ == "__main__":
    main()
