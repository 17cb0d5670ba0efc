"""Where the items come from: nginx over a part of the fixture, and ways to it that are slow."""
import collections
import shutil
import socket
import sys
from pathlib import Path

from machine import Process, run

PORT = 8080


class Nginx:
    """Serves a part of the fixture at `url`; the network namespace is ours alone, so any address and port is free."""

    def __init__(self, work, part, port=PORT):
        self.port = port
        self._folder = work / f"nginx-{port}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._log = self._folder / "access.log"
        # `user root`: the fixture lies in a home that others may not enter.
        (self._folder / "nginx.conf").write_text(f"""
user root;
worker_processes auto;
daemon off;
pid {self._folder}/pid;
error_log {self._folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    log_format short '$status $uri';
    access_log {self._log} short;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    types {{ text/x-nix-narinfo narinfo; }}
    default_type application/octet-stream;
    client_body_temp_path {self._folder}; proxy_temp_path {self._folder}; fastcgi_temp_path {self._folder};
    uwsgi_temp_path {self._folder}; scgi_temp_path {self._folder};
    server {{ listen {port} backlog=1024; root {part.folder}; }}
}}
""")
        self._process = Process("nginx", "-c", self._folder / "nginx.conf", "-e", self._folder / "error.log", "-p", self._folder,
                                log=self._folder / "out").wait_until(lambda: listening(port))
        self.url = f"http://127.0.0.1:{port}"

    def requests(self):
        """How often each file was asked for since the last call: {"/nar/….nar.zst": 1, …}."""
        counts = collections.Counter(line.split(" ", 1)[1] for line in self._log.read_text().splitlines())
        # nginx appends, so an emptied file is written from its start again.
        open(self._log, "w").close()
        return counts

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stop()


class Relay:
    """A server that is `latency` seconds away, with no limit of throughput."""

    def __init__(self, work, target, latency, port=PORT + 1):
        script = Path(__file__).resolve().parents[2] / "support" / "relay.py"
        # Opening a connection takes a round trip as well: the first byte of each is held back for it.
        self._process = Process(sys.executable, script, f"127.0.0.1:{port}", f"127.0.0.1:{target}", "--latency", latency,
                                "--delay", latency, log=work / "relay.log").wait_until(lambda: listening(port))
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stop()


class Link:
    """A network namespace that reaches us through a link of so many Mbit/s. Commands run there behind `prefix`."""

    def __init__(self, work, megabits, port=PORT):
        self._process = Process("unshare", "--net", "sleep", "infinity", log=work / "link.log")
        namespace = f"/proc/{self._process.pid}/ns/net"
        ours = Path("/proc/self/ns/net").readlink()
        self._process.wait_until(lambda: Path(namespace).readlink() != ours)
        self.prefix = ["nsenter", f"--net={namespace}"]
        run("ip", "link", "add", "bench0", "type", "veth", "peer", "name", "bench1", "netns", self._process.pid)
        run("ip", "address", "add", "10.99.0.1/24", "dev", "bench0")
        run("ip", "link", "set", "bench0", "up")
        for words in ("address add 10.99.0.2/24 dev bench1", "link set bench1 up", "link set lo up"):
            run(*self.prefix, "ip", *words.split())
        run("tc", "qdisc", "add", "dev", "bench0", "root", "tbf", "rate", f"{megabits}mbit", "burst", "128kb", "latency", "100ms")
        self.url = f"http://10.99.0.1:{port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stop()


def listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def warm(closure):
    """Reads what is going to be served, so that it comes from the page cache."""
    for name in closure.items:
        with open(closure.nar(name), "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
        (closure.folder / f"{name[:32]}.narinfo").read_bytes()
