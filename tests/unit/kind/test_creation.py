"""A cluster and its images are made at the same time, and the one that fails is told of."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.provider import ClusterReport, ClusterState
from contextcore_install.providers.kind.creation import Creation, Wish
from contextcore_install.providers.kind.engine import Engine
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.look import Look, Sight
from contextcore_install.providers.kind.owner import OwnerFile
from contextcore_install.stack.catalogue import resolve_ports
from contextcore_install.tools.relay import beside
from fakes import Told

DOCKER = """#!/bin/sh
case "$1" in image) exit 1;; pull) echo "$2: Pulling"; touch {pulling}; exec sleep 60;; esac
"""
KIND = """#!/bin/sh
while ! [ -e {pulling} ]; do sleep 0.05; done
echo "ERROR: failed to create cluster: could not find an available, non-overlapping IPv4 address pool" >&2; exit 1
"""


def creation(folder: Path) -> Creation:
    """Return what creates with a kind that fails while an image is pulled that takes a minute."""
    for name, text in (("docker", DOCKER), ("kind", KIND)):
        (folder / name).write_text(text.format(pulling=folder / "pulling"))
        (folder / name).chmod(0o755)
    environ = {"PATH": f"{folder}{os.pathsep}{os.defpath}"}
    engine, kind = Engine("docker", environ), str(folder / "kind")
    look = SimpleNamespace(
        see=lambda **_: Sight((), None, ours=True),
        report=lambda *_: ClusterReport(ClusterState.ABSENT, ""),
    )
    return Creation(
        Wish("demo", resolve_ports({}), "image", 0, lambda: ["grafana/loki:3"]),
        folder / "demo",
        folder / "lock",
        lambda: kind,
        engine,
        cast("Any", None),
        cast(Look, look),
        OwnerFile(folder / "owner.json", "demo"),
        Images(engine, lambda: kind, environ, "demo", may_pull=True),
    )


def test_why_a_cluster_cannot_be_made_is_said_without_waiting_for_its_images(tmp_path: Path) -> None:
    told, began = Told(), time.monotonic()
    with pytest.raises(InstallError) as caught:
        creation(tmp_path).bring_up(told.ctx)
    assert caught.value.code == "engine-networks"
    assert "grafana/loki:3: Pulling" in told.lines
    assert time.monotonic() - began < 30
    ended = {data["part"]: data["outcome"] for kind, data in told.events if kind is Kind.PART_FINISHED}
    assert ended == {"cluster": "failed", "images": "failed", "pull grafana/loki:3": "failed"}


def test_work_beside_a_step_ends_with_it() -> None:
    told, ended = Told(), []
    with beside(told.ctx) as aside, aside.on_cancel(lambda: ended.append("work")):
        aside.raise_if_cancelled()
        told.token.cancel("Ctrl-C")
        with pytest.raises(CancelledError):
            aside.wait(60)
    assert ended == ["work"]
