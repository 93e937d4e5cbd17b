from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from contextcore_install.cli.settings import parse
from contextcore_install.commands.notify import notify
from contextcore_install.core.dataclass import replace
from contextcore_install.core.events import START, second
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.engine.state import COMPLETED, FAILED, RunState, State, StepState
from contextcore_install.notify.contact_points import RESET_POLICY
from contextcore_install.runtime.app import App
from contextcore_install.runtime.console import Console
from contextcore_install.runtime.installation import Installation, resolve
from contextcore_install.runtime.notifier import for_grafana, note_taken_back
from contextcore_install.runtime.running import carry_out
from contextcore_install.runtime.session import Prepared, Session
from contextcore_install.storage.home import Home
from contextcore_install.storage.state_file import StateWriter
from contextcore_install.storage.store import read_records
from contextcore_install.system.clock import SystemClock

HOOK, TOPIC = "https://hook.example/x", "ntfys://topic"


class Machine:
    """A home with two installations, where `notify` is typed and runs end."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        for name in ("one", "two"):
            self.home.cluster(name).folder.mkdir(parents=True)
        self.home.folder.chmod(0o700)

    def app(self, cluster: str, *words: str, stdin: str = "") -> App:
        environ = {"HOME": str(self.home.folder.parent), "CONTEXTCORE_CLUSTER": cluster}
        settings = parse(words, environ, "./create-cluster.sh")
        said = io.StringIO()
        return App(settings, environ, self.home, io.StringIO(stdin), said, io.StringIO(), SystemClock())

    def notify(self, action: str, *urls: str) -> str:
        app = self.app("one", "notify", action, stdin="\n".join(urls))
        assert notify(app) == 0
        assert isinstance(app.stdout, io.StringIO)
        return app.stdout.getvalue()

    def told(self, cluster: str) -> str:
        """Return what a command on a cluster has Grafana provisioned with."""
        return for_grafana(self.app(cluster))

    def next_run(self, cluster: str) -> str:
        note_taken_back(self.app(cluster))
        return self.told(cluster)

    def ended(self, cluster: str, outcome: str = "succeeded", status: str = COMPLETED, late_s: int = 60) -> None:
        """Leave the state of a run that began so many seconds from now."""
        state = State(cluster, started_at="2026-01-01T00:00:00Z")
        began = second(SystemClock().now_us() + late_s * 1_000_000)
        state.run = replace(RunState("r1", "resume"), started_at=began, outcome=outcome)
        state.steps = {name: StepState(status=status) for name in state.steps}
        StateWriter(self.home.cluster(cluster).state, state, lambda: START).write()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_was_set_is_taken_from_each_clusters_grafana_by_its_next_run(machine: Machine) -> None:
    machine.notify("set", HOOK)
    assert HOOK in machine.told("one")
    said = machine.notify("clear")
    assert "until the next run on each cluster: one, two" in said
    assert HOOK not in (machine.home.contact_points).read_text()
    assert machine.home.contact_points.stat().st_mode & 0o777 == 0o600
    assert machine.next_run("one") == machine.next_run("two") == RESET_POLICY
    assert json.loads(RESET_POLICY) == {"apiVersion": 1, "resetPolicies": [1]}


def test_the_run_after_leaves_grafanas_policy_to_its_user(machine: Machine) -> None:
    machine.notify("set", HOOK)
    machine.notify("clear")
    machine.ended("one")
    assert machine.told("one") == RESET_POLICY, "who only looks sees what the run left"
    assert machine.next_run("one") == ""
    assert machine.next_run("two") == RESET_POLICY, "the other cluster had no run yet"
    machine.ended("two")
    assert machine.next_run("two") == ""
    assert not machine.home.contact_points.exists()


@pytest.mark.parametrize(
    "ended",
    [{"outcome": "failed"}, {"status": FAILED}, {"late_s": -60}],
    ids=["a run that failed", "a rollback", "a run before"],
)
def test_a_run_that_did_not_install_everything_since_has_taken_nothing_back(
    machine: Machine, ended: dict[str, object]
) -> None:
    machine.notify("set", HOOK)
    machine.notify("clear")
    machine.ended("one", **ended)  # type: ignore[arg-type]
    assert machine.next_run("one") == RESET_POLICY


def test_a_repair_tells_grafana_what_counts_once_an_earlier_run_has_taken_all_back(machine: Machine) -> None:
    machine.notify("set", HOOK)
    machine.notify("clear")
    machine.ended("one")
    app = machine.app("one", "--repair", "--provider", "host")
    looked_at = resolve(app, read_records(app.layout, "one").state)
    assert looked_at.provider.name == "host", "made while the policy was still to be taken back"
    seen: list[Installation] = []

    def work(session: Session, _: Console) -> RunResult:
        seen.append(session.installation)
        return RunResult(Outcome.SUCCEEDED)

    carry_out(app, work, Prepared(installation=looked_at))
    assert seen[0] is not looked_at
    looked_at = resolve(app, read_records(app.layout, "one").state)
    carry_out(app, work, Prepared(installation=looked_at))
    assert seen[1] is looked_at, "and is shared otherwise"


def test_clearing_twice_changes_nothing(machine: Machine) -> None:
    machine.notify("set", HOOK)
    machine.notify("clear")
    machine.notify("clear")
    assert machine.next_run("one") == RESET_POLICY


def test_what_grafana_cannot_send_to_takes_the_place_of_what_it_could(machine: Machine) -> None:
    machine.notify("set", HOOK)
    assert "until the next run on each cluster" in machine.notify("set", TOPIC)
    assert machine.next_run("one") == RESET_POLICY
    machine.ended("one")
    machine.ended("two")
    assert machine.next_run("one") == machine.next_run("two") == ""
    assert TOPIC in machine.home.contact_points.read_text()


def test_others_that_grafana_can_send_to_need_no_taking_back(machine: Machine) -> None:
    machine.notify("set", HOOK)
    machine.notify("clear")
    assert "until the next run" not in machine.notify("set", "https://hook.example/y")
    assert "https://hook.example/y" in machine.told("one")
    assert "withdrawn" not in machine.home.contact_points.read_text()


def test_where_grafana_was_given_nothing_there_is_nothing_to_take_back(machine: Machine) -> None:
    machine.notify("set", TOPIC)
    assert machine.notify("clear") == "the contact points are forgotten\n"
    assert not machine.home.contact_points.exists()
    assert machine.notify("clear") == "no contact point was set\n"
    assert machine.next_run("one") == ""


def test_a_file_that_others_could_read_is_cleared_all_the_same(machine: Machine) -> None:
    machine.notify("set", HOOK)
    machine.home.contact_points.chmod(0o644)
    machine.notify("clear")
    assert HOOK not in machine.home.contact_points.read_text()
    assert machine.next_run("one") == RESET_POLICY
