#!/usr/bin/env python3
"""origin.py FOLDER --port-file FILE --log FILE [--rules FILE] [--tls PEM]: a substitute server that serves a folder and can
misbehave; also a proxy that answers for every HTTP server. --tls: HTTPS, with the key and the certificate in PEM.

Listens on a free port of 127.0.0.1 (or --address) and writes its number to the port file when it is ready. Writes one line
"METHOD PATH STATUS BYTES" per request to the log, when the answer has been sent or was cut off; BYTES are those of the body.

The rules file is read again for every request. Each line is "PATTERN ACTION [ARGUMENT]"; PATTERN is a glob over the path,
the first line that fits wins. Actions:
  ok                  as without a rule
  status CODE [NAME=VALUE]  an answer of that status and a header
  html                200 and a page of HTML
  redirect URL        302 to there
  stall BYTES         sends so many bytes of the body, then nothing more until the client goes away
  drip SECONDS        sends the body in 64 pieces over so many seconds
  truncate BYTES      announces the whole body, closes after so many bytes
  shorten BYTES       announces and sends only so many bytes
  flip OFFSET         inverts the byte at this offset of the body
  append TEXT         sends TEXT after the body, and announces both
  open                no length, and the connection stays open after the body
  chunked             no length, but chunks
  drop                closes without an answer
  announce BYTES      announces so many bytes, sends the whole body, then nothing more until the client goes away
  trickle SECONDS     sends the body a byte at a time, one every so many seconds
  endless STATUS HEX [NAME=VALUE]  that status and header, and a body that repeats these bytes until the client goes away
  headers BYTES       so many bytes of headers in front of the body, counted as if they were of the body
"""
import argparse
import fnmatch
import http.server
import os
import socketserver
import ssl
import threading
import time


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def folder_path(self):
        """As an HTTP proxy it is asked for whole URLs; it serves its folder for any server."""
        path = self.path.split("/", 3)[3] if self.path.startswith("http://") else self.path
        return os.path.join(self.server.folder, path.lstrip("/"))

    def rule(self):
        try:
            with open(self.server.rules) as rules:
                for line in rules:
                    words = line.split(None, 2)
                    if len(words) >= 2 and fnmatch.fnmatch(self.path, words[0]):
                        return words[1], words[2].strip() if len(words) > 2 else ""
        except (FileNotFoundError, TypeError):
            pass
        return "ok", ""

    def note(self, status, sent):
        with self.server.lock, open(self.server.log, "a") as log:
            log.write(f"{self.command} {self.path} {status} {sent}\n")

    def head(self, status, length=None, headers=()):
        self.status = status
        self.send_response_only(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        action, argument = self.rule()
        path = self.folder_path()
        body = None
        if ".." not in self.path and os.path.isfile(path):
            with open(path, "rb") as file:
                body = file.read()
        self.status, self.sent = 0, 0
        try:
            self.answer(action, argument, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        self.note(self.status, self.sent)

    def send(self, data):
        """A piece of a body."""
        self.wfile.write(data)
        self.sent += len(data)

    def answer(self, action, argument, body):
        if action == "drop":
            self.close_connection = True
            return
        if action == "status":
            words = argument.split()
            self.head(int(words[0]), 0, [word.split("=", 1) for word in words[1:]])
            return
        if action == "html":
            page = b"<html><body>Please log in.</body></html>\n"
            self.head(200, len(page), [("Content-Type", "text/html")])
            self.send(page)
            return
        if action == "redirect":
            self.head(302, 0, [("Location", argument)])
            return
        if action == "endless":
            status, unit, *headers = argument.split()
            piece = bytes.fromhex(unit) * (65536 // len(bytes.fromhex(unit)))
            self.head(int(status), None, [("Transfer-Encoding", "chunked")] + [word.split("=", 1) for word in headers])
            for _ in range(1 << 20):
                self.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            return
        if body is None:
            self.head(404, 0)
            return
        if action == "shorten":
            body = body[: int(argument)]
        if action == "flip":
            at = int(argument)
            body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
        if action == "append":
            body += argument.encode()
        if action == "open":
            self.head(200)
            self.send(body)
            self.wfile.flush()
            self.wait_for_client()
            return
        if action == "chunked":
            self.head(200, None, [("Transfer-Encoding", "chunked")])
            for at in range(0, len(body), 1000):
                piece = body[at : at + 1000]
                self.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.send(b"0\r\n\r\n")
            return
        if action == "headers":
            line = b"X-Filler: " + b"x" * 1000 + b"\r\n"
            self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body))
            for _ in range(int(argument) // len(line)):
                self.send(line)
            self.send(b"\r\n" + body)
            return
        if action == "announce":
            self.head(200, int(argument))
            self.send(body)
            self.wfile.flush()
            self.wait_for_client()
            return
        self.head(200, len(body))
        if action == "trickle":
            for at in range(len(body)):
                self.send(body[at : at + 1])
                self.wfile.flush()
                time.sleep(float(argument))
            return
        if action in ("truncate", "stall"):
            self.send(body[: int(argument)])
            self.wfile.flush()
            if action == "stall":
                self.wait_for_client()
            self.close_connection = True
            return
        if action == "drip":
            step = len(body) // 64 + 1
            for at in range(0, len(body), step):
                self.send(body[at : at + step])
                self.wfile.flush()
                time.sleep(float(argument) / 64)
            return
        self.send(body)

    def wait_for_client(self):
        """Until the client closes, or the server is ended."""
        self.connection.settimeout(300)
        try:
            self.connection.recv(1)
        except OSError:
            pass
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, folder, log, rules=None, address=("127.0.0.1", 0), handler=Origin):
        super().__init__(address, handler)
        self.folder, self.log, self.rules = folder, log, rules
        self.lock = threading.Lock()
        open(log, "a").close()

    def handle_error(self, *_):
        """Clients that are killed reset their connections."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--rules")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls")
    options = parser.parse_args()
    server = Server(options.folder, options.log, options.rules, (options.address, options.port))
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls)
        # The handshake waits for its connection's thread: a client that refuses the certificate must not end the server.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with open(options.port_file + ".new", "w") as file:
        file.write(str(server.server_address[1]))
    os.rename(options.port_file + ".new", options.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
