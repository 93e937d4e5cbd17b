"""Offline bundles of a few small members, whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from contextcore_install import __version__
from contextcore_install.providers.kind.engine import choose_engine
from contextcore_install.runtime.offline_bundle.images import ImageArchives
from contextcore_install.system.packages.bundle_format import FOLDERS, BundleManifest, Part, Sign, write_bundle
from contextcore_install.system.packages.releases import MACHINES
from kit.fakes import Told

ABOUT = BundleManifest("0.9.0", "2026-01-02T03:04:05Z", "linux", "amd64", ("host",), ())
CONTENTS = {
    "program/create-cluster.sh": b"#!/bin/sh\n",
    "program/src/a.py": b"",
    "wheels/a-1.0-py3-none-any.whl": b"PK" * 400,
    "releases/loki.zip": bytes(range(256)) * 4,
    "images/grafana-loki.tar": b"i" * 512,
}
_KINDS = {folder: kind for kind, folder in FOLDERS.items()}


def about_here(*providers: str, version: str = __version__, machine: str = os.uname().machine) -> BundleManifest:
    """Return what a bundle of this program for this machine says of itself."""
    machine = MACHINES.get(machine, machine)
    return BundleManifest(version, ABOUT.created, sys.platform, machine, providers or ABOUT.providers, ())


def small_bundle(
    target: Path, contents: Mapping[str, bytes] = CONTENTS, *, about: BundleManifest = ABOUT, sign: Sign | None = None
) -> BundleManifest:
    return write_bundle(target, about, [_part(path, content) for path, content in contents.items()], sign)


def _part(path: str, content: bytes) -> Part:
    name = Path(path).stem.partition("-")[0]
    return Part(path, _KINDS[path.partition("/")[0]], name, "1.0", lambda sink: sink.write(content))


def image_bundle(target: Path, images: Sequence[str], node_image: str = "") -> None:
    """Write a bundle of images that the container engine has, saved as `bundle` saves them."""
    ctx, platform = Told(limit_s=600).ctx, f"linux/{about_here().machine}"
    archives = ImageArchives(choose_engine(os.environ, None), platform, ctx, registry="", may_pull=False)
    parts = archives.parts("node-image", node_image, ctx) if node_image else []
    parts += [part for image in images for part in archives.parts("image", image, ctx)]
    target.unlink(missing_ok=True)
    write_bundle(target, about_here("kind"), parts)
