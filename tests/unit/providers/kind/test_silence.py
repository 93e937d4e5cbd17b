"""An engine that hangs is waited for once, and not again at each of its nodes and ports."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.engine import ContainerEngine


def an_engine(folder: Path, script: str) -> ContainerEngine:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\necho asked >> {folder}/calls\n{script}\n")
    program.chmod(0o755)
    return ContainerEngine("docker", {"PATH": f"{folder}{os.pathsep}{os.defpath}", "HOME": str(folder)})


def test_an_engine_that_hangs_is_told_in_one_sentence_and_asked_once(tmp_path: Path) -> None:
    engine = an_engine(tmp_path, "exec sleep 60")
    began = time.monotonic()
    with pytest.raises(InstallError, match=r"^The container engine does not answer\.$") as caught:
        engine.call("ps", timeout_s=0.3)
    assert caught.value.code == "engine-down"
    for ask in (lambda: engine.nodes("demo"), engine.has_network, lambda: engine.has_image("a")):
        with pytest.raises(InstallError, match="does not answer"):
            ask()
    _, finding = engine.trouble()
    assert finding is not None
    assert finding.code == "engine-down"
    with pytest.raises(InstallError, match="does not answer"):
        ContainerEngine(engine.name, engine.environ).nodes("demo")
    assert (tmp_path / "calls").read_text().count("asked") == 1
    assert time.monotonic() - began < 5


def test_a_container_that_hangs_says_nothing_of_its_engine(tmp_path: Path) -> None:
    engine = an_engine(tmp_path, '[ "$1" = exec ] && exec sleep 60; exit 0')
    with pytest.raises(InstallError) as caught:
        engine.ask("exec", "node", "true", timeout_s=0.3)
    assert caught.value.code == "command-timeout"
    assert engine.nodes("demo") == []


def test_a_missing_command_is_a_missing_engine(tmp_path: Path) -> None:
    engine = ContainerEngine("docker", {"PATH": str(tmp_path), "HOME": str(tmp_path)})
    with pytest.raises(InstallError) as caught:
        engine.nodes("demo")
    assert caught.value.code == "engine-missing"
