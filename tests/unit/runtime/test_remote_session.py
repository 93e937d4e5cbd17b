"""A run on an installation whose cluster keeps its records: whose count, and that its lease is let go of."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding
from contextcore_install.core.interfaces import StepContext
from contextcore_install.engine.names import STEP_IDS
from contextcore_install.engine.plan import ONCE, Plan
from contextcore_install.engine.replica import RemoteRecords, StoredObject
from contextcore_install.engine.state import State, state_from_document
from contextcore_install.runtime import session
from contextcore_install.runtime.remote_state import compare_records
from contextcore_install.runtime.running import RunControl
from contextcore_install.runtime.session import NOTHING_PREPARED, open_session
from contextcore_install.storage.replica.keeper import ReplicaSync
from contextcore_install.storage.replica.lease import ELSEWHERE
from contextcore_install.storage.store import Records
from kit.fakes import FakeProvider
from kit.installed_records import START_US, STORY, app, write_records
from kit.remote_world import fake_remote
from kit.stores import wait_until

LATER_US = START_US + 3_600_000_000


class Keeps(FakeProvider):
    """A provider whose cluster keeps records."""

    def __init__(self, records: State) -> None:
        super().__init__()
        self.port, self.slot, self.lease = fake_remote()
        self.slot.put(RemoteRecords(records, 50, LATER_US, "office", "office_b", ("a line\n",), 3).pack())
        self.lease.put({"leaseTransitions": 4})

    def remote(self) -> object:
        return self.port

    @property
    def holder(self) -> object:
        return self.lease.kept and self.lease.kept.content.get("holderIdentity")


def elsewhere(state: State, cluster: str) -> State:
    """Return what another machine has made of a state since."""
    made = state_from_document(state.as_document())
    made.cluster_name = cluster
    made.run.run_id, made.run.started_at = "run-2", "2023-11-14T23:00:00Z"
    made.step("preflight").status = "failed"
    return made


def begun(tmp_path: Path, cluster: str) -> tuple[Keeps, str, object, str]:
    """Open and close a run; return the provider, preflight as the run found it, the lease's holder, and the journal."""
    provider = Keeps(elsewhere(write_records(tmp_path), cluster))
    asked = app(tmp_path, "--resume", create_provider=lambda *_: provider)
    with open_session(asked, lambda *_: [], RunControl(), NOTHING_PREPARED) as run:
        status = run.state.step("preflight").status
        if cluster == "test":
            wait_until(lambda: provider.holder, "the lease is not taken")
        holder = provider.holder
    return provider, status, holder, asked.layout.journal.read_text()


def test_a_run_goes_on_with_the_newer_records_of_its_cluster(tmp_path: Path) -> None:
    provider, status, holder, journal = begun(tmp_path, "test")
    assert (status, bool(holder), provider.holder) == ("failed", True, None)
    assert "the records in the cluster count (ConfigMap of the lab, written by office" in journal


def test_a_run_names_another_installations_records_and_leaves_them_alone(tmp_path: Path) -> None:
    provider, status, holder, journal = begun(tmp_path, "production")
    assert (status, holder, provider.slot.writes) == ("completed", None, 0)
    assert "holds the records of 'production'" in journal


class Step:
    """A step with something to do, which notes what is done."""

    id, title, retry, timeout_s = "pods_ready", "", ONCE, 60.0
    needs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.done: list[str] = []

    def check(self, ctx: StepContext) -> CheckResult:
        return CheckResult(findings=(Finding("wrong", "something is wrong"),))

    def apply(self, ctx: StepContext) -> None:
        self.done.append("applied")

    def undo(self, ctx: StepContext) -> None:
        self.done.append("undone")

    def by_hand(self) -> list[str]:
        return []


def test_a_step_is_neither_applied_nor_undone_without_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(_: ReplicaSync, ctx: StepContext, step: str) -> None:
        asked.append(step)
        raise InstallError(ELSEWHERE, "another machine is at work")

    monkeypatch.setattr(ReplicaSync, "confirm", refuse)
    provider, step = Keeps(elsewhere(write_records(tmp_path), "test")), Step()
    on_cluster = app(tmp_path, "--resume", create_provider=lambda *_: provider)
    with open_session(on_cluster, lambda *_: [], RunControl(), NOTHING_PREPARED) as run:
        run.plan = Plan([step])
        results = [run.run(), run.undo({step.id})]
    assert [result.errors[step.id].code for result in results] == [ELSEWHERE, ELSEWHERE]
    assert (asked, step.done) == ([step.id, step.id], [])


def test_a_cluster_that_is_slow_to_answer_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TO_END_S", 0.1)
    others = [
        replace(STORY[-1], number=4 + n, at_us=START_US + 3 + n, step=STEP_IDS[n]) for n in range(1, len(STEP_IDS))
    ]
    provider, answers = Keeps(write_records(tmp_path, [*STORY, *others])), threading.Event()
    provider.port = replace(provider.port, is_read_with_checks=True)
    read = provider.lease.read

    def read_slowly() -> StoredObject | None:
        if threading.current_thread().name == "ahead: lease":
            answers.wait(60)
        return read()

    monkeypatch.setattr(provider.lease, "read", read_slowly)
    began = time.monotonic()
    with open_session(
        app(tmp_path, "--resume", create_provider=lambda *_: provider), lambda *_: [], RunControl(), NOTHING_PREPARED
    ):
        looks = [thread.name for thread in threading.enumerate()]
    took = time.monotonic() - began
    answers.set()
    assert "ahead: lease" in looks
    assert took < 30


def test_a_cluster_that_there_is_no_way_to_is_no_reason_to_show_no_status(tmp_path: Path) -> None:
    class Refuses(FakeProvider):
        def remote(self) -> object:
            raise InstallError("no-context", "there is no context of that name")

    asked = app(tmp_path, "--status")
    compared = compare_records(asked, Refuses(), Records(State("test")), [])
    assert compared == {"trouble": "there is no context of that name"}
