"""The cluster's copy of the records follows the events, and troubles no run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import START, Event, JournalOffset, Kind
from contextcore_install.core.redaction import Redaction
from contextcore_install.engine.replica import MOST_BYTES, RemoteRecords, unpack
from contextcore_install.engine.state import CLUSTER_STEP, State
from contextcore_install.storage.home import ClusterLayout
from contextcore_install.storage.journal.journal import JournalWriter
from contextcore_install.storage.replica.keeper import LOCAL_STEP, RemoteCopy, ReplicaSync
from contextcore_install.storage.replica.lease import ELSEWHERE, Lease
from contextcore_install.storage.store import Records
from kit.fakes import Told
from kit.remote_world import fake_remote, refusal
from kit.stores import wait_until


class Lab:
    """A keeper at work, and what it told."""

    def __init__(self, journal: Path) -> None:
        self.remote, self.records, self.lease = fake_remote()
        self.journal = journal
        self.reports: list[str] = []
        self.lost: list[InstallError] = []
        self.number = 0
        self.keeper: ReplicaSync | None = None

    def start(
        self, *, has_place: bool = False, offset: JournalOffset = START, version: str = "", in_step: bool = False
    ) -> ReplicaSync:
        self.number = offset.events
        state = State("lab")
        state.step("preflight").status = "completed"
        self.keeper = ReplicaSync(
            RemoteCopy(self.remote, Lease(self.remote.lease, "laptop_a"), version, has_place, in_step),
            Records(state, offset),
            ClusterLayout(self.journal.parent),
            Redaction(home="/home/somebody"),
            report=self.reports.append,
            lost=self.lost.append,
        )
        self.keeper.start()
        return self.keeper

    def tell(self, kind: Kind, step: str = "", **data: object) -> Event:
        self.number += 1
        event = Event(self.number, time.time_ns() // 1000, "run", kind, step, data)
        assert self.keeper
        self.keeper.handle(event)
        return event

    def up(self) -> None:
        """Have the cluster made, and its records written."""
        self.tell(Kind.STEP_COMPLETED, CLUSTER_STEP)
        wait_until(lambda: self.records.kept is not None, "nothing was written")

    def written(self) -> RemoteRecords:
        assert self.records.kept
        return unpack(self.records.kept.content)

    def reaches(self, number: int) -> Callable[[], bool]:
        def reached() -> bool:
            try:
                return self.records.kept is not None and self.written().events == number
            except ValueError:  # by hand
                return False

        return reached


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "journal.jsonl")
    yield made
    if made.keeper:
        made.records.gate.set()
        made.keeper.close(10)


def test_nothing_is_written_before_there_is_a_cluster(lab: Lab) -> None:
    keeper = lab.start()
    lab.tell(Kind.RUN_STARTED, mode="install")
    keeper.close(10)
    assert lab.records.kept is lab.lease.kept is None
    assert not lab.reports


def test_state_and_journal_are_there_at_the_end_and_the_lease_is_free(lab: Lab) -> None:
    writer = JournalWriter(lab.journal)
    before = Event(1, 1_000_000, "earlier", Kind.NOTICE, data={"text": "in /home/somebody/files"})
    writer.append(before)
    writer.close()
    keeper = lab.start(offset=JournalOffset(1, 10, before.at_us))
    lab.up()
    last = lab.tell(Kind.STEP_COMPLETED, "manifests_apply", duration_seconds=1.0)
    keeper.close(10)
    kept = lab.written()
    assert kept.state.step("manifests_apply").status == "completed"
    assert (kept.events, kept.at_us, kept.host) == (last.number, last.at_us, "laptop")
    assert (kept.term, lab.journal.with_name("lease-term").read_text()) == (1, "1\n")
    assert [line.partition(",")[0] for line in kept.tail] == ['{"number":1', '{"number":2', '{"number":3']
    assert "in ~/files" in kept.tail[0]
    assert lab.lease.kept
    assert "holderIdentity" not in lab.lease.kept.content


def test_a_run_with_nothing_to_do_leaves_the_cluster_as_it_is(lab: Lab) -> None:
    keeper = lab.start(has_place=True, version="1", in_step=True)
    lab.tell(Kind.RUN_STARTED, mode="resume")
    lab.tell(Kind.STEP_COMPLETED, "preflight", already=True)
    lab.tell(Kind.RUN_FINISHED, outcome="succeeded")
    keeper.close(10)
    assert (lab.records.writes, lab.lease.writes) == (0, 0)


@pytest.mark.parametrize(
    ("in_step", "kind", "data"),
    [
        (False, Kind.RUN_FINISHED, {"outcome": "succeeded"}),
        (True, Kind.STEP_COMPLETED, {"already": True}),  # it was not known to be done
        (True, Kind.STEP_STARTED, {"attempt": 1}),
        (True, Kind.DATA_NOTED, {"data": {"claim": "uid"}}),
    ],
)
def test_what_the_cluster_does_not_know_is_written(
    lab: Lab, kind: Kind, data: dict[str, Any], *, in_step: bool
) -> None:
    lab.records.put({})
    keeper = lab.start(has_place=True, version="1", in_step=in_step)
    lab.tell(kind, "pods_ready" if kind in {Kind.STEP_COMPLETED, Kind.STEP_STARTED} else "", **data)
    keeper.close(10)
    assert lab.written().events == 1
    assert lab.lease.kept
    assert "holderIdentity" not in lab.lease.kept.content


def test_that_a_run_waits_is_not_worth_a_write_and_goes_with_the_next(lab: Lab) -> None:
    keeper = lab.start()
    lab.up()
    before = lab.records.writes
    lab.tell(Kind.HEARTBEAT)
    keeper.close(10)
    assert lab.records.writes == before


def test_many_events_are_few_writes(lab: Lab) -> None:
    lab.start()
    lab.up()
    wait_until(lab.reaches(1), "the first was not written")
    before = lab.records.writes
    for _ in range(500):
        lab.tell(Kind.NOTICE, text="x" * 100)
    wait_until(lab.reaches(lab.number), "the last was not written")
    assert lab.records.writes - before < 10


def test_a_cluster_that_hangs_holds_up_neither_events_nor_the_end(lab: Lab) -> None:
    keeper = lab.start(has_place=True)
    lab.up()
    lab.records.gate.clear()
    began = time.monotonic()
    for _ in range(1000):
        lab.tell(Kind.NOTICE, text="x")
    lab.tell(Kind.STEP_COMPLETED, "pods_ready")
    assert time.monotonic() - began < 5
    keeper.close(0.2)
    assert time.monotonic() - began < 10


def test_what_is_kept_is_bounded_and_its_newest_part(lab: Lab) -> None:
    keeper = lab.start()
    lab.up()
    for _ in range(3000):
        lab.tell(Kind.NOTICE, text="ü" * 200)
    keeper.close(30)
    kept = lab.written()
    assert lab.records.kept
    assert sum(len(text.encode()) for text in lab.records.kept.content.values()) <= MOST_BYTES
    assert f'"number":{lab.number},' in kept.tail[-1]
    assert 100 < len(kept.tail) < 3000


def test_trouble_is_told_once_and_over_when_it_is(lab: Lab) -> None:
    lab.start()
    lab.records.failures = [refusal("api-unreachable"), refusal("api-unreachable")]
    lab.tell(Kind.STEP_COMPLETED, CLUSTER_STEP)
    last = lab.tell(Kind.STEP_COMPLETED, "manifests_apply")
    wait_until(lab.reaches(last.number), "it was not tried again")
    assert len(lab.reports) == 1


def test_a_lease_that_cannot_be_taken_is_asked_for_now_and_then(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def read() -> None:
        asked.append(None)
        raise refusal("api-unreachable")

    monkeypatch.setattr(lab.lease, "read", read)
    lab.start(has_place=True)
    lab.tell(Kind.STEP_COMPLETED, "pods_ready")
    wait_until(lambda: len(asked) >= 2, "it was not asked for again")
    time.sleep(0.5)
    assert len(asked) < 10


def test_without_the_right_to_a_lease_the_records_are_kept_all_the_same(lab: Lab) -> None:
    keeper = lab.start()
    lab.lease.failures = [refusal("api-forbidden") for _ in range(100)]
    lab.up()
    assert len(lab.reports) == 1
    keeper.confirm(Told().ctx, "pods_ready")


@pytest.mark.parametrize("change", ["by hand", "removed"])
def test_while_the_lease_is_ours_what_others_did_to_the_records_is_written_over(lab: Lab, change: str) -> None:
    lab.start()
    lab.up()
    if change == "by hand":
        lab.records.put({"state.json": "mine"})
    else:
        lab.records.remove()
    last = lab.tell(Kind.STEP_COMPLETED, "manifests_apply")
    wait_until(lab.reaches(last.number), "it was not written")


def test_records_that_could_not_be_read_before_the_run_are_replaced_and_named(lab: Lab) -> None:
    other = RemoteRecords(State("lab"), 9, 1_767_268_800_000_000, "office", "b")
    lab.records.put(other.pack())
    lab.start()
    last = lab.tell(Kind.STEP_COMPLETED, CLUSTER_STEP)
    wait_until(lab.reaches(last.number), "it was not written")
    assert lab.reports == ["the cluster's records, written by office, 2026-01-01T12:00:00Z, give way to this run's"]


def test_who_lost_the_lease_neither_acts_nor_writes(lab: Lab) -> None:
    keeper = lab.start()
    lab.up()
    lab.lease.put({"holderIdentity": "office_b"})
    lab.records.put({"state.json": "the office's"})
    lab.tell(Kind.STEP_COMPLETED, "manifests_apply")
    wait_until(lambda: bool(lab.lost), "the loss was not told")
    with pytest.raises(InstallError, match="office") as refused:
        keeper.confirm(Told().ctx, "pods_ready")
    assert refused.value.code == ELSEWHERE
    keeper.confirm(Told().ctx, LOCAL_STEP)
    keeper.close(10)
    assert lab.records.kept
    assert lab.records.kept.content == {"state.json": "the office's"}
    assert lab.lease.kept
    assert lab.lease.kept.content["holderIdentity"] == "office_b"


def test_a_cluster_that_is_given_up_keeps_nothing(lab: Lab) -> None:
    keeper = lab.start()
    lab.up()
    lab.tell(Kind.STEP_UNDO_STARTED, CLUSTER_STEP)
    lab.tell(Kind.STEP_UNDONE, CLUSTER_STEP)
    lab.tell(Kind.RUN_FINISHED, outcome="succeeded")
    keeper.close(10)
    assert lab.records.kept is lab.lease.kept is None
    assert not lab.journal.with_name("lease-term").exists()
    assert not lab.reports


def test_a_cluster_that_is_being_taken_down_is_no_trouble(lab: Lab) -> None:
    keeper = lab.start()
    lab.up()
    lab.tell(Kind.STEP_UNDO_STARTED, CLUSTER_STEP)
    lab.records.failures = [refusal("api-unreachable") for _ in range(100)]
    lab.lease.failures = [refusal("api-unreachable") for _ in range(100)]
    lab.tell(Kind.STEP_UNDONE, CLUSTER_STEP)
    keeper.close(10)
    assert not lab.reports


def test_a_state_that_is_too_large_is_trouble_and_no_end(lab: Lab) -> None:
    keeper = lab.start()
    lab.up()
    lab.tell(Kind.STEP_FAILED, "manifests_apply", error={"message": "x" * MOST_BYTES})
    wait_until(lambda: bool(lab.reports), "it was not told")
    assert "KiB" in lab.reports[0]
    keeper.close(10)
    assert lab.written().state.step("manifests_apply").status == "pending"
