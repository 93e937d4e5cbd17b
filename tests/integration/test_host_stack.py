"""All five components on this machine, fetched from a mirror, as somebody does it who has nothing and changes plans."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.installation import Installation, end, kill, read_until
from kit.release_server import ReleaseServer, release_server
from kit.stand_in_stack import VERSIONS, package_without_digests, publish
from kit.stores import program, wait_until

EVERY = set(VERSIONS)


class Bare(Installation):
    """A machine that has no program of the stack; `package` comes before the program's own, `more` before the PATH."""

    package = Path()
    more = ""

    def environ(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        usual = super().environ(changes)
        here = {"PATH": f"{self.more}:/usr/bin:/bin", "PYTHONPATH": f"{self.package}:{usual['PYTHONPATH']}"}
        return usual | here


class Stack:
    """An installation on a bare machine, and a mirror of upstream."""

    def __init__(self, installation: Bare, mirror: ReleaseServer) -> None:
        self.installation, self.mirror = installation, mirror

    def run(self, *words: str, code: int = 0) -> str:
        done = self.installation.run(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def flags(self) -> list[str]:
        mirror = ["--mirror", self.mirror.url]
        return ["--provider", "host", *self.installation.port_flags(), "--install-tools", *mirror]

    def running(self) -> set[str]:
        run = self.installation.files / "host" / "run"
        pids = {process.pid for process in self.installation.processes()}
        return {path.stem for path in run.glob("*.pid") if json.loads(path.read_text())["pid"] in pids}

    def requirements(self) -> dict[str, dict[str, Any]]:
        for _ in range(5):  # on a busy machine, a run may end before the store has its last samples
            document = json.loads(self.installation.run("verify", "--output", "json").stdout)
            if document["ok"]:
                return {item["id"]: item for item in document["requirements"]}
        raise AssertionError(self.run("verify"))

    def fetched(self) -> list[str]:
        return [path for path, _ in self.mirror.asked]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    place = Bare(tmp_path)
    place.package = package_without_digests(tmp_path / "package")
    with release_server() as mirror:
        yield Stack(place, mirror)
    place.remove()


def not_met(requirements: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: item["evidence"] for name, item in requirements.items() if item["status"] != "met"}


def test_five_components_come_from_a_mirror_and_work_together(stack: Stack) -> None:
    publish(stack.mirror, *VERSIONS)
    shown = stack.run(*stack.flags, "--components", "all")
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


@pytest.mark.slow
def test_what_cannot_be_had_is_left_out_and_fetched_when_it_is_asked_for_again(stack: Stack) -> None:
    publish(stack.mirror, "mimir", "loki")
    shown = stack.run(*stack.flags, "--components", "mimir,loki,tempo")
    (told,) = [line for line in shown.splitlines() if "left out" in line]
    assert "tempo" in told
    _, _, after = " ".join(shown.split()).partition("to have it later: ")
    assert "--install-tools" in after.partition("HTTP 404")[0], "a reason may be cut short, the way to them is not"
    assert "HTTP 404" in after
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


@pytest.mark.slow
def test_a_run_that_is_killed_while_programs_arrive_is_carried_on_by_the_next(stack: Stack) -> None:
    publish(stack.mirror, *VERSIONS)
    stack.mirror.cut_after, stack.mirror.hangs = 2000, True
    running = stack.installation.start(*stack.flags)
    read_until(running, "part_started", "preflight")
    kill(running)
    assert stack.installation.status()["overall"] == "interrupted"
    stack.mirror.cut_after = None
    stack.mirror.released.set()
    stack.run("--resume")
    assert stack.running() == EVERY


@pytest.mark.slow
def test_an_installation_keeps_its_kind_of_metrics_store(stack: Stack) -> None:
    publish(stack.mirror, *VERSIONS)
    stack.installation.more = str(Path(program("victoria-metrics")).parent)
    stack.run("--provider", "host", *stack.installation.port_flags())
    assert stack.running() == {"mimir"}
    shown = " ".join(stack.run("--components", "all").split())
    assert "Not installed: loki, tempo, alloy, grafana; to have them: " in shown, (
        "nothing is done, and some is asked for"
    )
    stack.run(*stack.flags)
    assert stack.running() == EVERY
    assert not [path for path in stack.fetched() if "mimir" in path]
    assert (stack.installation.files / "host/data/victoria-metrics").is_dir()
    assert not (stack.installation.files / "host/data/mimir").exists()
    assert not_met(stack.requirements()) == {}


@pytest.mark.slow
def test_what_stands_in_the_way_is_told_before_anything_is_fetched(stack: Stack) -> None:
    publish(stack.mirror, *VERSIONS)
    with socket.create_server(("127.0.0.1", stack.installation.ports["grafana"])):
        shown = stack.run(*stack.flags, code=3)
    assert f"Port {stack.installation.ports['grafana']}" in shown
    assert not stack.fetched()
    assert "Port" not in stack.run(*stack.flags, "--components", "mimir,loki", code=0).partition("failed")[2]
    assert stack.running() == {"mimir", "loki"}


def test_names_that_are_no_components_and_other_providers_are_refused(stack: Stack) -> None:
    shown = stack.run("--provider", "host", "--components", "loki,nginx", code=2)
    assert "There is no component named 'nginx'" in shown
    assert "mimir, loki, tempo, alloy, grafana" in shown
    assert "cannot be combined with --provider kind" in stack.run("--provider", "kind", "--components", "loki", code=2)
    assert not stack.installation.state.exists()


@pytest.mark.slow
def test_a_watch_brings_all_of_them_back_after_the_machine_was_restarted(stack: Stack) -> None:
    publish(stack.mirror, *VERSIONS)
    stack.run(*stack.flags)
    for process in stack.installation.processes():
        end(process)
    for path in (stack.installation.files / "host" / "run").glob("*.pid"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"boot_id": "before"}))
    assert stack.running() == set()
    watch = stack.installation.start("watch", "--every", "1s")
    wait_until(lambda: stack.running() == EVERY, "the watch does not bring them back")
    kill(watch)
