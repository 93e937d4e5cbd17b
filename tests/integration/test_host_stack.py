"""All five components on this machine, fetched from a mirror, as somebody does it who has nothing and changes plans."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.installation import Installation, end
from kit.release_server import ReleaseServer, release_server
from kit.stand_in_stack import VERSIONS, package_without_digests, publish

EVERY = set(VERSIONS)


class Stack:
    """An installation on a machine that has no program of the stack, and a mirror of upstream."""

    def __init__(self, installation: Installation, mirror: ReleaseServer, package: Path) -> None:
        self.installation, self.mirror = installation, mirror
        self.environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join([str(package), *sys.path])}

    def run(self, *words: str, code: int = 0) -> str:
        done = self.installation.run(*words, environ=self.environ)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *words: str) -> str:
        mirror = ["--mirror", self.mirror.url]
        return self.run("--provider", "host", *self.installation.port_flags(), "--install-tools", *mirror, *words)

    def running(self) -> set[str]:
        run = self.installation.files / "host" / "run"
        pids = {process.pid for process in self.installation.processes()}
        return {path.stem for path in run.glob("*.pid") if json.loads(path.read_text())["pid"] in pids}

    def requirements(self) -> dict[str, dict[str, Any]]:
        document = json.loads(self.run("verify", "--output", "json"))
        assert document["ok"], document
        return {item["id"]: item for item in document["requirements"]}

    def fetched(self) -> list[str]:
        return [path for path, _ in self.mirror.asked]


@pytest.fixture
def stack(installation: Installation, tmp_path: Path) -> Iterator[Stack]:
    with release_server() as mirror:
        yield Stack(installation, mirror, package_without_digests(tmp_path / "package"))


def not_met(requirements: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: item["evidence"] for name, item in requirements.items() if item["status"] != "met"}


def test_five_components_come_from_a_mirror_and_work_together(stack: Stack) -> None:
    publish(stack.mirror, *VERSIONS)
    shown = stack.install("--components", "all")
    grafana = f"http://127.0.0.1:{stack.installation.ports['grafana']}"
    assert f"{grafana}/d/contextcore-installation?var-cluster=test" in shown
    assert f"cat {stack.installation.files}/host/data/secrets/grafana-admin" in shown
    assert "Not installed" not in shown
    assert {step["status"] for step in stack.installation.steps().values()} == {"completed"}
    assert stack.running() == EVERY
    requirements = stack.requirements()
    assert not_met(requirements) == {}
    assert {"line_round_trip", "span_round_trip", "grafana_tempo_datasource"} <= set(requirements)

    fetched = stack.fetched()
    assert "nothing had to be done" in stack.run()
    assert stack.fetched() == fetched, "what is there is not fetched again"

    (loki,) = [each for each in stack.installation.processes() if "/loki" in " ".join(each.cmdline())]
    end(loki)
    assert stack.running() == EVERY - {"loki"}
    stack.run("--repair", "--yes")
    assert stack.running() == EVERY

    shown = stack.run("--components", "mimir,grafana")
    kept = f"loki does not run any more; what it stored stays in {stack.installation.files / 'host/data/loki'}"
    assert "".join(kept.split()) in "".join(shown.split())
    assert (stack.installation.files / "host/data/loki").is_dir()
    assert stack.running() == {"mimir", "grafana"}
    requirements = stack.requirements()
    assert not_met(requirements) == {}
    assert not [name for name in requirements if "loki" in name or "tempo" in name or "alloy" in name]
    assert "nothing had to be done" in stack.run(), "the choice is kept"

    stack.run("delete", "--yes", "--cluster", "test")
    assert not stack.installation.processes()


def test_what_cannot_be_had_is_left_out_and_fetched_when_it_is_asked_for_again(stack: Stack) -> None:
    publish(stack.mirror, "mimir", "loki")
    shown = stack.install("--components", "mimir,loki,tempo")
    (told,) = [line for line in shown.splitlines() if "left out" in line]
    assert "tempo" in told
    assert "HTTP 404" in " ".join(shown.split())
    assert stack.running() == {"mimir", "loki"}
    requirements = stack.requirements()
    assert set(not_met(requirements)) == {"tempo", "tempo_api", "span_round_trip"}
    assert "left out" in requirements["tempo"]["evidence"]
    fetched = stack.fetched()
    assert "nothing had to be done" in stack.run("--resume")
    assert stack.fetched() == fetched, "a plain run does not try again"
    publish(stack.mirror, "tempo")
    stack.run("--install-tools")
    assert stack.running() == {"mimir", "loki", "tempo"}
    assert not_met(stack.requirements()) == {}
