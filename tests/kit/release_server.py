"""A server of releases on loopback: it counts what it sends, knows ranges, and misbehaves as it is told."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import ipaddress
import ssl
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contextcore_install.core.dataclass import dataclass, field, replace
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.http_client import Limits
from contextcore_install.system.packages.releases import Platform, Release, releases

LINUX = Platform("linux", "amd64")
QUICK = Limits(connect_s=2, read_s=15, pause_s=0.05, tries=2)


def program(says: str, size: int = 0) -> bytes:
    """Return a program that prints a text, at least so many bytes long."""
    return f"#!/bin/sh\necho '{says}'\nexit 0\n".encode().ljust(size, b"#")


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a .zip of files, the same whenever it is made, as a checksum tells."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarball(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """Return a .tar.gz of executable files, and of members as they stand; the same whenever it is made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


@dataclass
class ReleaseServer:
    """What a server has, by path, and how it misbehaves.

    `cut_after` are the bytes of a file (of more than a thousand bytes) after which a connection ends or, with `hangs`,
    says no more. `answers` are given once each, in place of a path's own: status, headers and body.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    redirect: bool = False
    cut_after: int | None = None
    hangs: bool = False
    answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    sent: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def publish(self, name: str, content: bytes, digest: str = "") -> str:
        """Have a release's file for all platforms, and its sum beside it or in a list; return the sha256."""
        release, digest = releases()[name], digest or hashlib.sha256(content).hexdigest()
        for system in ("linux", "darwin"):
            for machine in ("amd64", "arm64"):
                platform = Platform(system, machine)
                self.files[_path(release.url(platform))] = content
                line, sums = f"{digest}  {release.file_name(platform)}\n".encode(), _path(release.sums_url(platform))
                self.files[sums] = (self.files.get(sums, b"") if release.sums_name_files else b"") + line
        return digest

    def source(self, limits: Limits = QUICK, environ: Mapping[str, str] | None = None) -> FromServer:
        return FromServer(environ or {}, self.url, limits=limits)

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path.removeprefix("/moved")
        self.asked.append((path, {name.lower(): value for name, value in handler.headers.items()}))
        if self.redirect and not handler.path.startswith("/moved"):
            _answer(handler, 302, {"Location": f"/moved{path}"}, b"")
        elif self.answers.get(path):
            _answer(handler, *self.answers[path].pop(0))
        elif path not in self.files:
            _answer(handler, 404, {}, b"")
        else:
            self._send(handler, path, self.files[path])

    def _send(self, handler: http.server.BaseHTTPRequestHandler, path: str, content: bytes) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        if start and start >= len(content):
            _answer(handler, 416, {}, b"")
            return
        end = len(content) if self.cut_after is None or len(content) < 1000 else min(self.cut_after, len(content))
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Type", self.content_type)
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        self.sent[path] += max(0, end - start)  # before whoever receives it can tell anybody
        handler.wfile.write(content[start:end])
        if self.hangs and end < len(content):
            self.released.wait(20)


class FromServer(Upstream):
    """The real source, of releases whose digests are not committed: the server's files are no real ones."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.digests: dict[str, str] = {}  # by name of release; these count as committed

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        digests = {str(platform): self.digests[release.name]} if release.name in self.digests else {}
        super().get(ctx, replace(release, digests=digests), platform, target)


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def _answer(handler: http.server.BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def release_server(certificate: Path | None = None) -> Iterator[ReleaseServer]:
    """Give a server on loopback; with a file of a certificate and its key (`make_certificate`), one of https."""
    world = ReleaseServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
            pass

        def do_GET(self) -> None:
            world.respond(self)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    world.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield world
    finally:
        world.released.set()
        server.shutdown()
        server.server_close()


def make_certificate(path: Path) -> Path:
    """Write a certificate of 127.0.0.1 that nobody trusts yet, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path
