"""Images that cannot be had, told by what the engine and kind say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.engine import Engine
from contextcore_install.providers.kind.images import Images
from fakes import Told

DENIED = "Error response from daemon: manifest for grafana/loki:9 not found: manifest unknown"
SNAP = 'failed to save image: invalid output path: directory "/tmp/contextcore-images-x" does not exist'


def program(folder: Path, name: str, **answers: str) -> str:
    """Make a program that says its answer to a subcommand and fails, and ends well for any other."""
    cases = "".join(f"{verb}) echo {text!r} >&2; exit 1;;\n" for verb, text in answers.items())
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}esac\n')
    path.chmod(0o755)
    return str(path)


def images(folder: Path, *, may_pull: bool = True) -> Images:
    environ = {"PATH": f"{folder}{os.pathsep}{os.defpath}", "TMPDIR": str(folder)}
    return Images(Engine("docker", environ), lambda: str(folder / "kind"), environ, "demo", may_pull=may_pull)


def test_a_pull_that_fails_is_told_by_its_cause_and_may_be_tried_again(tmp_path: Path) -> None:
    program(tmp_path, "docker", image="Error: No such image", pull=DENIED)
    (error,) = images(tmp_path).get(["grafana/loki:9"], Told().ctx)
    assert (error.code, error.retryable) == ("image-unavailable", True)
    assert error.message == "There is no image grafana/loki:9, or it is not for everyone."
    assert error.hint == "docker pull grafana/loki:9"


def test_an_archive_that_docker_cannot_write_tells_of_snap(tmp_path: Path) -> None:
    program(tmp_path, "docker", save=SNAP)
    program(tmp_path, "kind", load="ERROR: failed to load image: content digest sha256:1: not found")
    with pytest.raises(InstallError) as caught:
        images(tmp_path).load(["grafana/loki:3"], Told().ctx)
    assert caught.value.code == "snap-docker"
    assert "TMPDIR" in caught.value.hint
