#!/usr/bin/env python3
"""power.py --build DIR [--file-system ext4|xfs] [--moments N] [--seed N]: what a loss of power leaves, at N moments of a fetch
and after it.

The state folder is on a file system of its own, in a file behind a loop device. That file at a moment is what the disk would
hold: nothing is synced for the copy. A copy counts when two, one after the other, are equal; so the disk stood still between
them.
Each copy is mounted, which replays the journal, and a senvd starts on it in what it must take for another boot of the node.

What must hold: everything in store/ is whole and as it was signed, and so is its narinfo; what was on the disk for sure is
still there; and the closure can be completed.

ext4's journal is committed every second here (or hardly ever), so that names are on the disk long before contents: the files
of zeros and of no length, of which such stories tell. Needs root, and a mount namespace of its own (`unshare --mount`): a
mount namespace that somebody makes meanwhile keeps what is mounted in the one it was copied from.
Exit status: 0, or 1 with what was wrong and the seed.
"""
import contextlib
import os
import re
import subprocess
import time

import crash
import items
import node
from node import check

MOMENTS = ["fetched again", "between syncs", "inside or answered", "repaired"]
FILE_SYSTEMS = {
    "ext4": ("mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard", 48,
             ["commit=1", "commit=1,data=writeback", "commit=1,noauto_da_alloc", "commit=60"]),
    "xfs": ("mkfs.xfs -q -f -K", 320, ["nouuid"]),    # a copy has the same UUID
}


def run(*command):
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def mounted(image, folder, options):
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "loop," + options, image, folder)
    try:
        yield folder
    finally:
        run("umount", "-l", folder)
    # Else the next one on this file would get what this one has in memory.
    node.wait_until(lambda: not subprocess.check_output(["losetup", "-j", str(image)]), 20, f"{image} to be free")


def snapshot(image, copy):
    """False: the disk did not stand still."""
    def read():
        pieces = []
        with open(image, "rb") as file:
            end = os.fstat(file.fileno()).st_size
            at = 0
            while at < end:
                try:
                    at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break
                hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
                pieces.append((at, os.pread(file.fileno(), hole - at, at)))
                at = hole
        return pieces

    before = read()
    if read() != before:
        return False
    with open(copy, "wb") as file:
        file.truncate(os.path.getsize(image))
        for at, data in before:
            os.pwrite(file.fileno(), data, at)
    return True


class Trial:
    def __init__(self, work, build, file_system, rng):
        self.work, self.build, self.rng = work, build, rng
        self.make, self.megabytes, self.options = FILE_SYSTEMS[file_system]
        folder = work / "served"
        folder.mkdir()
        self.published = items.Published(str(folder), f"{build}/tests/support",
                                         str(crash.CHECKOUT / "tests/golden/narinfo/signing-key.sec"))
        paths = self.published.add_random("cold", crash.ITEMS, rng, most_bytes=300_000)
        self.profile = self.published.add_profile("cold-profile", paths)
        self.closure = self.published.closure(self.profile)
        self.size = sum(self.published.packed_size(base) for base in self.closure)
        self.server = crash.Server(str(work / "server.log"), rng, self.published)
        self.server_of_copies = crash.Server(str(work / "server-of-copies.log"), rng, self.published)
        self.server_of_copies.seconds = 0
        self.nodes = []

    def node_at(self, name, mount, boot_id, server):
        one = node.Node(self.work / name, self.build, crash.CHECKOUT, [server.url], "grace = 0\ndownloads = 4",
                        state=mount / "state", boot_id=boot_id)
        self.nodes.append(one)
        return one

    def copies(self, count):
        """Loses power `count` times. Yields (copy, what was surely on the disk, which moment it is)."""
        image, copy = self.work / "disk", self.work / "copy"
        with open(image, "wb") as file:
            file.truncate(self.megabytes << 20)
        run(*self.make.split(), image)
        options = self.rng.choice(self.options)
        with mounted(image, self.work / "mount", options) as mount:
            one = self.node_at("node", mount, "first-boot", self.server)
            one.start()
            for number in range(count):
                moment = self.rng.choice(MOMENTS[number % len(MOMENTS)].split(" or "))
                if moment in ("fetched again", "repaired"):
                    self.server.seconds = 0
                    one.provide(self.profile)
                    node.wait_until(lambda: one.recorded(durable=True) == self.closure, 60, "senvd to wait for the disk")
                    one.stop()    # now the disk has also the catalog that says so
                    one.start()
                if moment == "repaired":
                    yield copy, self.repair(one, image, copy), f"{moment} ({options})"
                    continue
                if moment != "answered":
                    one.gc()
                    check(not one.recorded(), "gc kept something that nobody uses")
                durable = one.recorded(durable=True)
                self.server.seconds = {"fetched again": 0, "inside": 0.5}.get(moment, 2)
                self.server.expect(int(self.size * self.rng.random()) + 1, None)
                catalog = os.stat(one.state / "db").st_mtime_ns
                request = one.provision(self.profile)
                if moment == "inside":
                    check(self.server.moment.wait(120), "the fetch came to no end")
                    time.sleep(self.rng.choice([0, self.rng.uniform(0, 1.5)]))
                elif moment == "between syncs":    # the catalog's log is on the disk; what was placed meanwhile is not
                    node.wait_until(lambda: os.stat(one.state / "db").st_mtime_ns != catalog, 120,
                                    "the catalog to be written")
                else:
                    self.plan_of(request)
                    # Before and after a journal is committed, and after senvd has waited for the disk.
                    time.sleep(2 if moment == "fetched again" else self.rng.choice([0, 1.3, self.rng.uniform(1, 6)]))
                node.wait_until(lambda: snapshot(image, copy), 60, "the disk to stand still")
                yield copy, durable, f"{moment} ({options})"
                if moment in ("inside", "between syncs"):
                    self.plan_of(request)
            one.stop()

    def repair(self, one, image, copy):
        """Half of what is there is damaged, and on its way again when power is lost. Returns the other half."""
        files = {base: [path for path in [one.state / "store" / base, *(one.state / "store" / base).rglob("*")]
                        if path.is_file() and not path.is_symlink() and path.stat().st_size > 0] for base in self.closure}
        damaged = self.rng.sample(sorted(base for base in files if files[base]), len(files) // 2)
        for base in damaged:
            with open(self.rng.choice(files[base]), "r+b") as file:
                byte = file.read(1)[0]
                file.seek(0)
                file.write(bytes([byte ^ 1]))
        self.server.seconds = 0.5
        self.server.expect(int(sum(self.published.packed_size(base) for base in damaged) * self.rng.random()) + 1, None)
        request = one.repair()
        check(self.server.moment.wait(120), "the repair came to no end")
        time.sleep(self.rng.choice([0, self.rng.uniform(0, 6)]))
        node.wait_until(lambda: snapshot(image, copy), 60, "the disk to stand still")
        kind, payload = request.answer(120)
        check(kind == 35, f"no report, but: {node.text_of(kind, payload)}")
        return self.closure - set(damaged)

    @staticmethod
    def plan_of(request):
        kind, payload = request.answer(120)
        check(kind == 32, f"no plan: {node.text_of(kind, payload)}")

    def look_at(self, copy, durable):
        with mounted(copy, self.work / "copy-mount", self.options[0]) as mount:
            one = self.node_at("node-again", mount, "second-boot", self.server_of_copies)
            one.start()
            found = one.check_store(self.published)
            check(durable <= found, f"was surely on the disk, and is gone: {sorted(durable - found)}")
            self.server_of_copies.expect(None, None)
            one.provide(self.profile)
            with self.server_of_copies.lock:
                again = [base for base in found if self.published.items[base].nar_url in self.server_of_copies.by_path]
            check(not again, f"was whole, and was fetched again: {again}")
            check(one.check_store(self.published) == self.closure, "the closure is not whole in the end")
            one.stop()
            one.check_log()
            log = one.log.read_text()
            one.log.unlink()
        hashed = re.search(r"event=checked-after-reboot items_hashed=(\d+)", log)
        return f"{hashed[1] if hashed else 0} hashed, {log.count('event=removed-at-start')} removed, {len(found)} valid"

    def close(self):
        for one in self.nodes:
            one.close()
        self.server.shutdown()
        self.server_of_copies.shutdown()

    def tail(self):
        return self.nodes[-1].tail()


def main():
    parser = node.options_of_trial()
    parser.add_argument("--file-system", choices=FILE_SYSTEMS, default="ext4")
    parser.add_argument("--moments", type=int, default=20)
    options = parser.parse_args()
    with (node.trial_of(lambda folder, rng: Trial(folder, options.build, options.file_system, rng), options, "power") as trial,
          contextlib.closing(trial.copies(options.moments)) as copies):
        for copy, durable, moment in copies:
            left = trial.look_at(copy, durable)
            print(f"{moment}: {len(durable)} surely on the disk before it; {left}", flush=True)


if __name__ == "__main__":
    main()
