"""What the benchmarks fetch: static binary caches (HASH.narinfo, nar/NAME.nar.zst) made of files of Debian packages.

A part is a folder that nginx can serve, with part.json beside the files. Parts are made at first use and kept outside the
checkout, in bench-HASH of the tests' cache folder, HASH being that of the files which make them.

  reference   2 GB of nars and 50,000 files like an HPC environment of Guix's: one item over 400 MB, many below 10 KB.
              Closures: reference; latency (about 100 MB of the same items); herd-0 … herd-199, which share most items
  single      one item of 1.5 GB
  small       5,000 items of 2 KB
  warm        400 small items
  scale       scale-0 … scale-99, 1,000 items each, nothing shared. In one archive, not compressed: 200,000 small files are
              hard on many disks, and harder when they are removed
  quick       all of these closures, tiny, from files that every Debian has; nothing is downloaded

Beside them, `layout` lists the folders, files and links in the items, for src/make_files.c.
"""
import fcntl
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from guix_format import STORE, Data, Key, Link, count, merge, narinfo, read_tree, store_name, write_nar

# An item of the reference closure, and the Debian packages that it is made of; the first gives the version.
REFERENCE = """
glibc: libc6 libc-bin
gcc-lib: libgcc-s1 libstdc++6 libgfortran5 libquadmath0 libgomp1 gcc-12-base
gcc: gcc-12 cpp-12 g++-12 gfortran-12 libgcc-12-dev libstdc++-12-dev libgfortran-12-dev
libc-headers: libc6-dev linux-libc-dev
binutils: binutils binutils-x86-64-linux-gnu libbinutils
gmp: libgmp10
mpfr: libmpfr6
mpc: libmpc3
isl: libisl23
zlib: zlib1g
zstd: libzstd1
bzip2: libbz2-1.0
xz: liblzma5 xz-utils
openssl: libssl3
libffi: libffi8
ncurses: libncursesw6 libtinfo6
readline: libreadline8
sqlite: libsqlite3-0
expat: libexpat1
libxml2: libxml2
curl: libcurl4
icu4c: libicu72
python: python3.11 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libpython3.11
python-headers: libpython3.11-dev
python-numpy: python3-numpy
python-scipy: python3-scipy
python-matplotlib: python3-matplotlib
python-pandas: python3-pandas python3-pandas-lib
python-mpmath: python3-mpmath
python-sympy: python3-sympy
python-scikit-learn: python3-sklearn python3-sklearn-lib
python-h5py: python3-h5py python3-h5py-serial
python-mpi4py: python3-mpi4py
openmpi: libopenmpi3 openmpi-bin openmpi-common libopenmpi-dev
pmix: libpmix2
ucx: libucx0
libfabric: libfabric1
hwloc: libhwloc15
rdma-core: libibverbs1 librdmacm1
numactl: libnuma1
libevent: libevent-core-2.1-7
perl: perl perl-base perl-modules-5.36 libperl5.36
boost: libboost1.81-dev
boost-mpi: libboost-mpi1.81.0 libboost-python1.81.0
hdf5: libhdf5-103-1
hdf5-parallel-openmpi: libhdf5-openmpi-103-1
netcdf: libnetcdf19
petsc-openmpi: libpetsc-real3.18
slepc-openmpi: libslepc-real3.18
scotch: libscotch-7.0
mumps-openmpi: libmumps-5.5
scalapack: libscalapack-openmpi2.2
metis: libmetis5
fftw: libfftw3-double3 libfftw3-single3
fftw-openmpi: libfftw3-mpi3
openblas: libopenblas0-pthread
lapack: liblapack3 libblas3
eigen: libeigen3-dev
gsl: libgsl27 libgslcblas0
proj: libproj25 proj-data
tbb: libtbb12
jsoncpp: libjsoncpp25
gl2ps: libgl2ps1.4
libpng: libpng16-16
freetype: libfreetype6
fontconfig: libfontconfig1
font-dejavu: fonts-dejavu-core
vtk: libvtk9.1
vtk-headers: libvtk9-dev
paraview: paraview
openfoam: openfoam
r-minimal: r-base-core
cmake: cmake cmake-data
git: git
vim: vim-runtime
emacs: emacs-common emacs-el
gdb: gdb
tcl: tcl8.6 libtcl8.6
bash: bash
coreutils: coreutils
sed: sed
grep: grep
gawk: gawk
findutils: findutils
diffutils: diffutils
tar: tar
gzip: gzip
make: make
tzdata: tzdata
"""
# Their copyright files are an item of their own, like an output `doc` of Guix's; such items are what is below 10 KB.
DOC_OUTPUTS = """gmp mpfr mpc isl zlib zstd bzip2 libffi ncurses readline sqlite expat pmix ucx libfabric hwloc rdma-core
numactl libevent hdf5 netcdf scotch metis fftw gsl tbb jsoncpp gl2ps libpng freetype gcc-lib libc-headers binutils xz openssl libxml2 curl icu4c python-mpmath python-h5py python-mpi4py
boost-mpi petsc-openmpi slepc-openmpi mumps-openmpi scalapack openblas lapack proj fontconfig sed grep make tcl tzdata""".split()
# Essential packages, which are installed everywhere.
QUICK = "libc-bin bash coreutils sed grep tar gzip findutils diffutils hostname debianutils base-passwd login".split()

ARCHIVE = "files.tar"

SEARCH_PATHS = {
    "python": '("GUIX_PYTHONPATH" ("lib/python3/dist-packages") ":" directory #f)',
    "gcc": '("C_INCLUDE_PATH" ("include") ":" directory #f) ("LIBRARY_PATH" ("lib" "lib64") ":" directory #f)',
    "perl": '("PERL5LIB" ("lib/perl5/site_perl") ":" directory #f)',
    "cmake": '("CMAKE_PREFIX_PATH" ("") ":" directory #f)',
}

LATENCY_BYTES = 100_000_000
SINGLE_BYTES = 1_500_000_000
HERD = 200


@dataclass
class Closure:
    profile: str    # /gnu/store/HASH-NAME
    items: dict     # HASH-NAME: {nar_size, file_size, files, bytes}
    folder: Path    # of the part

    @property
    def names(self):
        return sorted(self.items)

    def total(self, what):
        return sum(item[what] for item in self.items.values())

    def nar(self, name):
        return self.folder / "nar" / f"{name}.nar.zst"

    def write_layout(self, path):
        """The lines of the part's layout that are about this closure."""
        with open(self.folder / "layout", "rb") as lines, open(path, "wb") as out:
            for line in lines:
                if line.split(b"/", 1)[0].rsplit(b" ", 1)[1].strip().decode() in self.items:
                    out.write(line)

    def describe(self):
        tiny = sum(item["nar_size"] < 10240 for item in self.items.values())
        largest = max(item["nar_size"] for item in self.items.values())
        return (f"{len(self.items)} items, {self.total('files')} files, {self.total('nar_size') / 1e6:.1f} MB of nars "
                f"({self.total('file_size') / 1e6:.1f} MB as zstd -3); the largest item {largest / 1e6:.1f} MB, "
                f"{tiny} below 10 KB")


class Part:
    def __init__(self, folder):
        self.folder = folder
        self._data = json.loads((folder / "part.json").read_text())

    def unpacked(self, work):
        """The part itself or, if it is kept in an archive, the part in a folder of `work`."""
        if not (self.folder / ARCHIVE).exists():
            return self
        folder = work / self.folder.name
        folder.mkdir()
        subprocess.run(["tar", "-xf", self.folder / ARCHIVE, "-C", folder], check=True)
        (folder / "part.json").symlink_to(self.folder / "part.json")
        return Part(folder)

    def closure(self, name):
        profile = self._data["profiles"][name]
        names, items = [profile], {}
        while names:
            item = names.pop()
            if item not in items:
                items[item] = self._data["items"][item]
                names += items[item]["references"]
        return Closure(f"{STORE}/{profile}", items, self.folder)

    def closures(self, prefix):
        return [self.closure(name) for name in self._data["profiles"] if name.startswith(prefix)]


class Fixture:
    def __init__(self, quick):
        here = Path(__file__).resolve().parent
        recipe = hashlib.sha256(b"".join((here / name).read_bytes() for name in ("fixture.py", "guix_format.py")))
        cache = os.environ.get("SENV_TEST_CACHE") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "senv-tests")
        self.folder = Path(cache).resolve() / f"bench-{recipe.hexdigest()[:16]}"
        self._quick = quick
        self._parts = {}

    def __getitem__(self, name):
        name = "quick" if self._quick else name
        if name not in self._parts:
            self._parts[name] = Part(self.folder / name)
            os.utime(self.folder)
        return self._parts[name]

    def missing(self, names):
        """Those parts that have to be made."""
        return [name for name in (["quick"] if self._quick else names) if not (self.folder / name / "part.json").exists()]

    @property
    def key(self):
        return Key(int((self.folder / "secret").read_text(), 16))

    def make(self, name, scratch):
        """`scratch`: an empty folder in memory for what is needed meanwhile, 2.5 GB for the larger parts: disks can be slow
        for minutes after tens of thousands of files were removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder.parent / ".bench.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (self.folder / name).exists():    # by someone we waited for
                return
            if not (self.folder / "secret").exists():
                (self.folder / "secret.new").write_text(f"{Key().secret:x}")
                os.rename(self.folder / "secret.new", self.folder / "secret")
            _forget_old(self.folder)
            partial = self.folder / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            (partial / "nar").mkdir(parents=True)
            begin = time.monotonic()
            if name != "quick":
                print(f"Making the fixture '{name}', once; this takes a minute or more: {self.folder / name}", file=sys.stderr)
            maker = Maker(partial, scratch, self.key)
            getattr(maker, name)()
            maker.finish()
            os.rename(partial, self.folder / name)
            print(f"  done in {time.monotonic() - begin:.0f} s", file=sys.stderr)


def _forget_old(ours):
    for entry in ours.parent.glob("bench-*"):
        if entry != ours and entry.stat().st_mtime < time.time() - 2 * 86400:
            shutil.rmtree(entry, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------- making a part

_items = {}    # name: (tree, references); global, so that forked workers find them


class Maker:
    def __init__(self, folder, scratch, key):
        self._folder = folder
        self._scratch = scratch
        self._key = key
        self._profiles = {}
        self.in_archive = False
        _items.clear()

    # The parts.

    def reference(self):
        recipe = {}
        for line in REFERENCE.strip().splitlines():
            name, packages = line.split(":")
            recipe[name] = packages.split()
        control = _download(sorted({package for packages in recipe.values() for package in packages}), self._scratch)
        trees = {}
        for name, packages in recipe.items():
            trees[name] = {}
            for package in packages:
                _add_package(trees[name], read_tree(os.fsencode(self._scratch / "files" / package)))
        self._environment(trees, recipe, control, DOC_OUTPUTS)

        # The single item of 1.5 GB is the same files in one; it is a part of its own, so that it can be dropped.
        self.also_single = trees

    def single(self):
        self.reference()
        trees, _ = self.also_single, _items.clear()
        self._profiles.clear()
        big, size = {}, 0
        for name, tree in sorted(trees.items()):
            if size < SINGLE_BYTES:
                big[name.encode()] = tree
                size += count(tree)[1]
        self._single(big)

    def small(self, items=5000):
        self._small_items("small", items - 1, 10)

    def warm(self, items=400):
        self._small_items("warm", items - 1, 4, files=6)

    def scale(self):
        self.in_archive = True
        self._scale(100, 1000)

    def _scale(self, closures, items):
        for number in range(closures):
            self._small_items(f"scale-{number}", items - 1, 10, files=0)

    def quick(self):
        control, trees = {}, {}
        for package in QUICK:
            control[package] = _fields(subprocess.check_output(["dpkg-query", "--status", package], text=True))
            trees[package] = {}
            _add_package(trees[package], _installed(package))
        self._environment(trees, {package: [package] for package in QUICK}, control, ["sed", "grep", "tar"])
        self._single(trees["coreutils"])
        self.small(40)
        self.warm(20)
        self._scale(3, 30)

    # What they are made of.

    def _environment(self, trees, recipe, control, doc_outputs):
        """Items with the references that the packages' dependencies give, and the profiles above them."""
        owner = {package: name for name, packages in recipe.items() for package in packages}
        names, needs = {}, {}
        for name, packages in recipe.items():
            version = re.sub(r"^\d+:|[-+].*", "", control[packages[0]]["Version"])
            names[name] = store_name(f"{name}-{version}", "package")
            wanted = {owner[package] for p in packages for package in _depends(control[p]) if package in owner}
            needs[name] = wanted - {name}
        _break_cycles(needs)
        docs = []
        for name, tree in trees.items():
            references = sorted({names[other] for other in needs[name]} | {names[name]})
            if name in doc_outputs:
                docs.append((store_name(names[name][33:] + "-doc", "package"), _take_copyright(tree)))
                self._add(*docs[-1], [])
            self._add(names[name], _with_references(tree, names[name], references), references)

        everything = [(names[name], trees[name]) for name in trees]
        entries = [_entry(name, names[name]) for name in trees]
        self._profile("reference", everything + docs, entries)

        chosen = self._up_to(LATENCY_BYTES, names, needs, trees)
        self._profile("latency", [(names[name], trees[name]) for name in chosen] + docs,
                      [_entry(name, names[name]) for name in chosen])
        # Profiles of 200 users, each without one of the packages: as good as everything is shared.
        for number in range(HERD):
            left_out = names[list(trees)[number % len(trees)]]
            self._profile(f"herd-{number}", [pair for pair in everything if pair[0] != left_out] + docs,
                          [entry for entry in entries if left_out not in entry], links=b"bin")

    @staticmethod
    def _up_to(limit, names, needs, trees):
        """Packages, with all they need, of that many bytes together: from small ones to larger ones."""
        sizes = {name: count(tree)[1] for name, tree in trees.items()}
        chosen, total = set(), 0
        for name in sorted(trees, key=sizes.get):
            wanted, new = [name], set()
            while wanted:
                one = wanted.pop()
                if one not in chosen | new:
                    new.add(one)
                    wanted += needs[one]
            added = sum(sizes[one] for one in new)
            if total + added <= limit:
                chosen |= new
                total += added
        return [name for name in trees if name in chosen]

    def _single(self, tree):
        name = store_name("everything-1.0", "single")
        self._add(name, _with_references(tree, name, [name]), [name])
        self._profile("single", [(name, tree)], [_entry("everything", name)])

    def _small_items(self, label, number, layers, files=1):
        """`number` small items that refer to each other in layers, and the profile above them."""
        text = b"".join(path.read_bytes() for path in sorted(Path("/usr/share/common-licenses").glob("*-*")) if path.is_file())
        per_layer = -(-number // layers)
        names = [store_name(f"{label}-{at}-1.0", label) for at in range(number)]
        trees = []
        for at, name in enumerate(names):
            base = at // per_layer * per_layer + per_layer
            below = {base + (at * step + step // 2) % per_layer for step in (1, 3, 7)}
            references = sorted(names[one] for one in below if one < number)
            if files == 0:    # as little as can be, where there are 100,000 of them
                tree = {b"references": Data("".join(f"{STORE}/{reference}\n" for reference in references).encode())}
            else:
                # With one file a nar of 2 KB, all folders and padding included.
                size = 520 // files - 30 * len(references) // files + at % 97
                tree = {b"lib": {b"part-%d" % one: Data(text[(at * 7919 + one * 104729) % (len(text) - 2000):][:size])
                                 for one in range(files)},
                        b"bin": {b"%s-%d" % (label.encode(), at): Data(b"#!/bin/sh\necho %d\n" % at, True)}}
                tree = _with_references(tree, name, references)
            self._add(name, tree, references)
            trees.append((name, tree))
        self._profile(label, trees[:per_layer], [_entry(name[33:-4], name) for name in names[:per_layer]])

    def _profile(self, label, trees, entries, links=None):
        tree = _union([(f"{STORE}/{name}".encode(), content) for name, content in trees])
        if links:
            tree = {links: tree[links]}
        name = store_name("profile", label)
        tree[b"manifest"] = Data(";; This file was made for the benchmarks of senv.\n(manifest\n (version 4)\n (packages\n  (".encode() +
                                 "\n   ".join(entries).encode() + b")))\n")
        tree[b"etc"] = {b"profile": Data(f'# {label}\nexport PATH="${{GUIX_PROFILE:-{STORE}/{name}}}/bin${{PATH:+:}}$PATH"\n'.encode())}
        self._add(name, tree, sorted(item for item, _ in trees))
        self._profiles[label] = name

    @staticmethod
    def _add(name, tree, references):
        _items[name] = (tree, references)

    def finish(self):
        sizes = {name: count(tree) for name, (tree, _) in _items.items()}
        order = sorted(_items, key=lambda name: -sizes[name][1])
        large = [name for name in order if sizes[name][1] >= 65536]
        small = [name for name in order if sizes[name][1] < 65536]
        jobs = [[name] for name in large if not self.in_archive]
        jobs += [small[at:at + 500] for at in range(0, len(small), 500)]
        data = {"profiles": self._profiles, "items": {}}
        archive = tarfile.open(self._folder / ARCHIVE, "w") if self.in_archive else None
        with multiprocessing.Pool(initializer=_begin_work, initargs=(self._folder, self._key, bool(archive))) as pool:
            for made in pool.imap_unordered(_make_nars, jobs):
                for name, nar_size, file_size, files in made:
                    data["items"][name] = {"nar_size": nar_size, "file_size": file_size, "files": sizes[name][0],
                                           "bytes": sizes[name][1], "references": [r for r in _items[name][1] if r != name]}
                    for path, content in files:
                        member = tarfile.TarInfo(path)
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))
        if archive:
            archive.close()
        with open(self._folder / "layout", "wb") as out:
            for name in data["items"]:
                _write_layout(name.encode(), _items[name][0], out)
        (self._folder / "nix-cache-info").write_text(f"StoreDir: {STORE}\nWantMassQuery: 0\nPriority: 100\n")
        (self._folder / "part.json").write_text(json.dumps(data))
        _items.clear()


def _begin_work(*values):
    global _folder, _key, _in_archive    # pylint: disable=global-statement
    _folder, _key, _in_archive = values


def _make_nars(names):
    """Runs in a worker: nars and narinfos of some items. Many small ones go through one zstd, since a process costs more
    than their bytes; those for an archive are not compressed and are handed back: [(path, content)…]."""
    made = {}
    for name in names:
        digest, size, pieces = hashlib.sha256(), 0, []
        path = _folder / "nar" / f"{name}.nar"

        def write(data):
            nonlocal size
            digest.update(data)
            size += len(data)
            out(data)

        if _in_archive:
            out = pieces.append
            write_nar(_items[name][0], write)
        elif len(names) > 1:
            with open(path, "wb") as file:
                out = file.write
                write_nar(_items[name][0], write)
        else:
            with open(f"{path}.zst", "wb") as file:
                # From a pipe, as `guix publish` compresses: the frame does not tell the size.
                zstd = subprocess.Popen(["zstd", "-q", "-3", "-c"], stdin=subprocess.PIPE, stdout=file)
                with zstd.stdin:
                    out = zstd.stdin.write
                    write_nar(_items[name][0], write)
                if zstd.wait():
                    raise RuntimeError(f"zstd failed on {name}")
        made[name] = digest.digest(), size, pieces
    if len(names) > 1 and not _in_archive:
        subprocess.run(["zstd", "-q", "-3", "--rm"] + [_folder / "nar" / f"{name}.nar" for name in names], check=True)
    result = []
    for name, (nar_hash, size, pieces) in made.items():
        if _in_archive:
            nar = b"".join(pieces)
            text = narinfo(_key, name, nar_hash, size, _items[name][1], f"nar/{name}.nar", "none", size)
            result.append((name, size, size, [(f"nar/{name}.nar", nar), (f"{name[:32]}.narinfo", text)]))
        else:
            file_size = (_folder / "nar" / f"{name}.nar.zst").stat().st_size
            text = narinfo(_key, name, nar_hash, size, _items[name][1], f"nar/{name}.nar.zst", "zstd", file_size)
            (_folder / f"{name[:32]}.narinfo").write_bytes(text)
            result.append((name, size, file_size, []))
    return result


def _write_layout(path, node, out):
    if isinstance(node, dict):
        out.write(b"D %s\n" % path)
        for name in sorted(node):
            _write_layout(path + b"/" + name, node[name], out)
    elif isinstance(node, Link):
        out.write(b"L %s\t%s\n" % (path, node.target))
    else:
        out.write(b"F %d %d %s\n" % (count(node)[1], node.executable, path))


def _union(inputs):
    """As Guix makes a profile: a folder that only one input has is a link to it, others are real."""
    tree = {}
    for name in sorted({name for _, content in inputs for name in content}):
        having = [(path + b"/" + name, content[name]) for path, content in inputs if name in content]
        folders = [(path, node) for path, node in having if isinstance(node, dict)]
        if len(having) > 1 and len(folders) == len(having):
            tree[name] = _union(folders)
        else:
            tree[name] = Link(having[0][0])
    return tree


def _take_copyright(tree):
    doc = tree.get(b"share", {}).get(b"doc", {})
    files = {name: {b"copyright": doc[name].pop(b"copyright")} for name in sorted(doc)
             if isinstance(doc[name], dict) and count(doc[name].get(b"copyright", {}))[1] in range(1, 9000)}
    return {b"share": {b"doc": files}}


def _with_references(tree, name, references):
    text = "".join(f"{STORE}/{reference}\n" for reference in references).encode()
    return {**tree, b"share": {**tree.get(b"share", {}), b"references": {name[33:].encode(): Data(text)}}}


def _entry(name, item):
    version = item.rsplit("-", 1)[1]
    paths = SEARCH_PATHS.get(name)
    return f'("{name}" "{version}" "out" "{STORE}/{item}"' + (f" (search-paths ({paths}))" if paths else "") + ")"


def _break_cycles(needs):
    """Guix's store items never depend on each other in circles; a few Debian packages do."""
    done, active = set(), set()

    def visit(name):
        active.add(name)
        for other in sorted(needs[name]):
            if other in active:
                needs[name].discard(other)
            elif other not in done:
                visit(other)
        active.discard(name)
        done.add(name)

    for name in sorted(needs):
        if name not in done:
            visit(name)


# ----------------------------------------------------------------------------------------------------- Debian packages

def _fields(control):
    return dict(re.findall(r"^([A-Za-z-]+): (.*)$", control, re.M))


def _depends(fields):
    text = ", ".join(fields.get(name, "") for name in ("Pre-Depends", "Depends"))
    return [re.split(r"[ :(|]", one.strip(), maxsplit=1)[0] for one in text.split(",") if one.strip()]


def _download(packages, folder):
    """Gets and unpacks packages with apt: folder/files/PACKAGE. Returns their control fields."""
    debs = folder / "debs"
    debs.mkdir(parents=True)
    (folder / "files").mkdir()
    # As root also for the download: the folder is nobody else's.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"] + packages
    result = subprocess.run(command, cwd=debs, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        subprocess.run(["apt-get", "-q", "update"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        result = subprocess.run(command, cwd=debs, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"apt-get cannot download the packages of the fixture:\n{result.stderr}")
    with multiprocessing.Pool() as pool:
        return dict(pool.imap_unordered(_unpack, [(deb, folder / "files") for deb in debs.iterdir()]))


def _unpack(job):
    deb, folder = job
    fields = _fields(subprocess.check_output(["dpkg-deb", "--field", deb], text=True))
    subprocess.run(["dpkg-deb", "--extract", deb, folder / fields["Package"]], check=True)
    deb.unlink()
    return fields["Package"], fields


def _installed(package):
    """The files of an installed package, as dpkg-deb --extract would give them."""
    root = {}
    for line in subprocess.check_output(["dpkg-query", "--listfiles", package]).splitlines():
        if os.path.isfile(line) or os.path.islink(line):
            *folders, name = line.strip(b"/").split(b"/")
            node = read_tree(line)
            place = root
            for folder in folders:
                place = place.setdefault(folder, {})
            if node is not None and isinstance(place, dict):
                place[name] = node
    return root


def _add_package(tree, files):
    """/usr/bin/x and /bin/x of a package are bin/x of the item."""
    usr = files.pop(b"usr", {})
    for part in (usr, files):
        # What Guix cannot serve: names that are no UTF-8.
        merge(tree, {name: node for name, node in part.items() if name.isascii()})
