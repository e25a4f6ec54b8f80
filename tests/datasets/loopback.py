"""A web server on this machine that misbehaves on request."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass
class Reply:
    """How one request is answered.

    ``stop`` bytes of the body are sent, then the connection ends (``reset``: is torn down).
    ``announce`` replaces the Content-Length; -1 sends none. ``pause`` seconds lie between pieces of
    ``piece`` bytes. ``ranges`` and ``if_range``: whether these headers are honoured.
    """

    data: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    if_range: bool = True
    stop: int | None = None
    reset: bool = False
    announce: int | None = None
    chunked: bool = False
    piece: int = 1 << 16
    pause: float = 0.0
    endless_headers: bool = False
    endless_trailers: bool = False


class Site:
    """The server; use it as a context manager.

    ``replies`` maps paths to lists of replies, of which each request takes the next one and the
    last stays. ``folder`` serves the files below it where no reply is set. ``asked`` holds path and
    headers of each request, ``busiest`` the most requests that were open at a time.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.folder = folder
        self.asked: list[tuple[str, Message]] = []
        self.open = self.busiest = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (_Handler,), {"site": self}))
        self.server.daemon_threads = True
        self.server.block_on_close = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def url(self, path: str = "/x.npz") -> str:
        return f"http://{self.host}{path}"

    def serve(self, *replies: Reply, path: str = "/x.npz") -> str:
        self.replies[path] = list(replies)
        return self.url(path)

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    def __enter__(self) -> Site:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site
    gone = False

    def do_GET(self) -> None:
        site = self.site
        with site.lock:
            site.asked.append((self.path, self.headers))
            site.open += 1
            site.busiest = max(site.busiest, site.open)
            replies = site.replies.get(self.path.partition("?")[0], [])
            reply = replies.pop(0) if len(replies) > 1 else (replies or [self._file()])[0]
        try:
            with contextlib.suppress(ConnectionError):
                self._answer(reply)
        finally:
            self.close_connection = True
            self._leave()

    def _leave(self) -> None:
        with self.site.lock:
            self.site.open -= not self.gone
            self.gone = True

    def _file(self) -> Reply:
        path = self.site.folder and self.site.folder / self.path.partition("?")[0].lstrip("/")
        if path and path.is_file():
            return Reply(path.read_bytes(), headers={"ETag": '"file"'})
        return Reply(b"<html><title>Not here</title></html>", 404)

    def _answer(self, reply: Reply) -> None:
        status, body, headers = reply.status, reply.data, dict(reply.headers)
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        same = condition in (None, headers.get("ETag"), headers.get("Last-Modified"))
        if status == 200 and found and reply.ranges and (same or not reply.if_range):
            start, total = int(found[1]), len(body)
            if start >= total:
                status, body = 416, b""
                headers["Content-Range"] = f"bytes */{total}"
            else:
                status, body = 206, body[start:]
                headers.setdefault("Content-Range", f"bytes {start}-{total - 1}/{total}")
        for _ in range(100 * reply.endless_headers):
            self.wfile.write(b"H" if self.gone else b"HTTP/1.1 200 OK\r\n")
            self._leave()
            time.sleep(0.05)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.announce != -1:
            length = len(body) if reply.announce is None else reply.announce
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        sent = body if reply.stop is None else body[: reply.stop]
        for start in range(0, len(sent), reply.piece):
            time.sleep(reply.pause * (start > 0))
            if start + reply.piece >= len(sent):
                self._leave()  # after the last piece the client may be faster than this thread
            self._send(sent[start : start + reply.piece], reply.chunked)
        if reply.chunked and reply.stop is None:
            self.wfile.write(b"0\r\n")
            for _ in range(100 * reply.endless_trailers):
                self.wfile.write(b"X: y\r\n")
                time.sleep(0.05)
            self.wfile.write(b"\r\n")
        if reply.reset:
            # What is still on its way to the client would be lost with the connection.
            time.sleep(0.05)
            hard = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
            self.rfile.close()
            self.wfile.close()
            self.connection.close()

    def _send(self, piece: bytes, chunked: bool) -> None:
        if chunked:
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        self.wfile.write(piece)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass
