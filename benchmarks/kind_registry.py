"""A registry on loopback that is as slow as a line to a real one, with images that no engine has yet.

It serves what `docker pull` asks for, and no more: https://distribution.github.io/distribution/spec/api/
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from contextcore_install.core.dataclass import dataclass, field

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
#: Bytes a second over all connections together, bytes sent at a time, and seconds of silence that are made up for: what
#: is on its way arrives in buffers of a real line, whatever else the processors are busy with.
RATE, CHUNK, BUFFERED_S = 1_000_000, 50_000, 0.2
#: Bytes that do not compress, added to every image: what makes it new, and as large as it is here.
PADDING = 4_000_000


@dataclass
class Line:
    """What all connections share: so many bytes a second."""

    rate: float = RATE
    free_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_for(self, size: int) -> None:
        """Wait until this many bytes would have come through."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic() - BUFFERED_S) + size / self.rate
            until = self.free_at
        time.sleep(max(0.0, until - time.monotonic()))


class Store:
    """Blobs by digest, and manifests by repository and tag."""

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.tags: dict[str, str] = {}
        #: In every blob: one that images share is one blob, as in any registry, and none is known from another store.
        self.made_at = int(time.time())

    def keep(self, media_type: str, content: bytes) -> dict[str, Any]:
        """Keep a blob and return its descriptor."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = media_type, content
        return {"mediaType": media_type, "size": len(content), "digest": digest}

    def add(self, image: str) -> None:
        """Take an image from the local engine, with a last layer that nobody has."""
        config, layers = exported(image)
        layers.append(padding())
        config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        config.pop("history", None)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.keep(CONFIG, json.dumps(config).encode()),
            "layers": [self.keep(LAYER, gzip.compress(layer, 1, mtime=self.made_at)) for layer in layers],
        }
        name, _, tag = image.rpartition(":")
        self.tags[f"{name}/manifests/{tag}"] = self.keep(MANIFEST, json.dumps(manifest).encode())["digest"]

    def find(self, path: str) -> tuple[str, str, bytes] | None:
        """Return the digest, media type and content that a path under /v2/ names."""
        digest = self.tags.get(path, path.rpartition("/")[2])
        return (digest, *self.blobs[digest]) if digest in self.blobs else None


def exported(image: str) -> tuple[dict[str, Any], list[bytes]]:
    """Return the configuration and the layers of an image of the local engine."""
    saved = subprocess.run(["docker", "save", image], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:

        def content(name: str) -> bytes:
            member = archive.extractfile(name)
            assert member is not None, name
            return member.read()

        (listed,) = json.loads(content("manifest.json"))
        return json.loads(content(listed["Config"])), [content(name) for name in listed["Layers"]]


def padding() -> bytes:
    """Return a layer with one file of noise."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        about = tarfile.TarInfo("noise")
        about.size = PADDING
        archive.addfile(about, io.BytesIO(os.urandom(PADDING)))
    return layer.getvalue()


@contextmanager
def slow_registry(images: Sequence[str], rate: float = RATE) -> Iterator[tuple[str, int]]:
    """Serve these images anew; yield the prefix under which they are found, and the bytes that they have in all."""
    store, line = Store(), Line(rate)
    for image in images:
        store.add(image)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
            pass

        def do_GET(self) -> None:
            found = ("", "text/plain", b"") if self.path == "/v2/" else store.find(self.path.removeprefix("/v2/"))
            digest, media_type, content = found or ("", "text/plain", b"")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(content)))
            if digest:
                self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            for start in range(0, len(content) if self.command == "GET" else 0, CHUNK):
                piece = content[start : start + CHUNK]
                line.wait_for(len(piece))
                self.wfile.write(piece)

        do_HEAD = do_GET  # noqa: N815 - its name upstream

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    prefix = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield prefix, sum(len(content) for _, content in store.blobs.values())
    finally:
        server.shutdown()
        server.server_close()
        for image in images:
            subprocess.run(["docker", "rmi", f"{prefix}/{image}"], check=False, capture_output=True)
