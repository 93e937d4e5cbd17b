"""This machine's records and the cluster's meet: the newer journal counts, and which one that was is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import pytest

from contextcore_install.cli.settings import parse
from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import Event, JournalOffset, Kind, microseconds
from contextcore_install.core.provider import Provider
from contextcore_install.engine.replica import Remote, RemoteRecords, unpack
from contextcore_install.engine.state import RunState, State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.remote_state import RemoteSession, acquire, alone_in_cluster, identity, is_newer
from contextcore_install.runtime.running import RunControl
from contextcore_install.storage.home import Home
from contextcore_install.storage.replica.lease import ELSEWHERE
from contextcore_install.storage.store import Records
from contextcore_install.system.clock import SystemClock
from kit.remote_world import fake_remote, refusal

NOON, ONE = "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"


@pytest.fixture
def app(tmp_path: Path) -> App:
    settings = parse(["--resume", "--cluster", "lab"], {}, "create-cluster.sh")
    made = App(
        settings,
        {"HOME": str(tmp_path)},
        Home(tmp_path / "home"),
        io.StringIO(),
        io.StringIO(),
        io.StringIO(),
        SystemClock(),
    )
    made.layout.folder.mkdir(parents=True)
    made.layout.lock.touch()
    return made


def state(changed_at: str, status: str = "completed", installation_id: str = "one") -> State:
    made = State("lab", installation_id, started_at=NOON, run=RunState("r", "install", changed_at))
    made.step("preflight").status = status
    return made


def there(changed_at: str, status: str = "completed", events: int = 50, term: int = 0) -> RemoteRecords:
    at_us = microseconds(changed_at)
    return RemoteRecords(state(changed_at, status), events, at_us, "office", "office_b", ("a line\n",), term)


def here(changed_at: str, status: str = "completed", events: int = 50) -> Records:
    return Records(state(changed_at, status), JournalOffset(events, 900, microseconds(changed_at)))


def met(app: App, records: Records, remote: RemoteRecords, *, may_adopt: bool = True) -> RemoteSession:
    port, slot, _ = fake_remote()
    slot.put(remote.pack())
    return acquire(app, port, records, may_adopt=may_adopt)


def test_newer_records_in_the_cluster_count_and_events_go_on_behind_both(app: App) -> None:
    found = met(app, here(NOON, "failed", events=60), there(ONE, "completed", events=50))
    records = found.records
    assert records.state.step("preflight").status == "completed"
    assert records.offset == JournalOffset(60, 900, microseconds(ONE))
    assert records.imported
    assert records.imported["changes"] == ["preflight: failed -> completed"]
    assert "preflight: failed here, completed there" in records.notices[0]
    assert "written by office" in records.notices[0]
    assert found.adopted
    assert found.found.records
    assert found.found.records.tail == ("a line\n",)


def test_newer_records_of_this_machine_count_and_the_others_are_named(app: App) -> None:
    records = met(app, here(ONE, "failed"), there(NOON, "completed")).records
    assert records.state.step("preflight").status == "failed"
    assert records.imported is None
    assert "are older than this machine's, which count" in records.notices[0]


def test_what_is_the_same_is_no_news_nor_is_our_own_copy_that_stayed_behind(app: App) -> None:
    assert met(app, here(NOON), there(NOON)).records.notices == []
    ours = replace(there(NOON), writer=identity(app))
    assert met(app, here(ONE, "failed"), ours).records.notices == []


def test_a_machine_that_noted_something_after_it_lost_the_lease_is_not_newer(app: App) -> None:
    app.layout.lease_term.write_text("3\n")
    assert is_newer(app, there(NOON, term=4), here(ONE))
    assert not is_newer(app, there(ONE, term=2), here(NOON))
    assert not is_newer(app, there(NOON, term=3), here(ONE))
    app.layout.lease_term.write_text("no number")
    assert not is_newer(app, there(NOON, term=4), here(ONE))


def test_terms_of_two_installations_are_not_compared(app: App) -> None:
    app.layout.lease_term.write_text("9\n")
    anew = there(ONE, term=1)
    anew.state.installation_id = "two"
    assert is_newer(app, anew, here(NOON))
    assert not is_newer(app, replace(anew, term=20), Records(state(ONE), JournalOffset(60, 900, 0)))


def test_a_lease_that_was_made_anew_has_a_later_term_than_what_is_known(app: App) -> None:
    for noted, written in ((3, 5), (5, 3)):
        app.layout.lease_term.write_text(str(noted))
        found = met(app, here(ONE), there(NOON, term=written))
        assert found.lease.take(lambda _: None, make=True)
        assert found.lease.term == 6


def test_a_journal_that_is_gone_is_made_up_for_by_the_clusters(app: App) -> None:
    records = met(app, here(NOON, events=0), there(NOON, events=50)).records
    assert records.offset.events == 50
    assert records.imported


def test_whether_tools_may_be_had_is_of_one_machine_and_not_taken_over(app: App) -> None:
    wished = there(ONE)
    wished.state.settings = {"provider": "kind", "install_tools": True}
    empty = met(app, Records(State("lab")), wished).records
    assert empty.state.settings == {"provider": "kind"}
    own = here(NOON)
    own.state.settings = {"install_tools": True}
    own = met(app, own, there(ONE)).records
    assert own.state.settings == {"install_tools": True}


def test_a_context_is_known_by_its_name_on_one_machine_and_not_taken_over(app: App) -> None:
    elsewhere = there(ONE)
    elsewhere.state.settings = {"provider": "kube-context", "context": "default"}
    empty, own = Records(State("lab")), here(NOON)
    own.state.settings = {"context": "prod"}
    empty = met(app, empty, elsewhere).records
    assert empty.state.settings == {"provider": "kube-context"}
    elsewhere.state.settings["context"] = "default"
    own = met(app, own, elsewhere).records
    assert own.state.settings == {"provider": "kube-context", "context": "prod"}


def test_records_that_lead_to_another_cluster_than_theirs_are_refused(app: App) -> None:
    found, same, other = met(app, here(NOON), there(ONE)), Place(), Place()
    other.port = replace(other.port, place="ConfigMap of the office")
    found.require_same_place(cast("Provider", same))
    with pytest.raises(InstallError, match="leads to ConfigMap of the office") as caught:
        found.require_same_place(cast("Provider", other))
    assert caught.value.exit_code == ExitCode.USAGE


def test_what_was_given_up_here_is_not_brought_back(app: App) -> None:
    records = Records(State("lab"))
    (app.home.archive / "lab-20260101T120000Z").mkdir(parents=True)
    records = met(app, records, there(NOON)).records
    assert not is_newer(app, there(NOON), records)
    assert is_newer(app, there(ONE), records)
    assert not records.state.exists


def test_a_restored_backup_counts_however_old_it_is(app: App) -> None:
    records = met(app, here(NOON, "pending"), there(ONE), may_adopt=False).records
    assert records.state.step("preflight").status == "pending"


def test_another_installations_records_are_named_and_left_alone(app: App) -> None:
    port, slot, lease = fake_remote()
    other = there(ONE)
    other.state.cluster_name = "production"
    slot.put(other.pack())
    lease.put({"leaseTransitions": 4})
    found = acquire(app, port, Records(State("lab")))
    assert found.found.foreign
    assert "'production'" in found.records.notices[0]
    assert lease.kept
    assert "holderIdentity" not in lease.kept.content


def never(_: float) -> None:
    pytest.fail("nobody is to be waited for")


def test_a_lease_that_is_free_is_left_so_until_there_is_something_to_do(app: App) -> None:
    port, _, lease = fake_remote()
    lease.put({"leaseTransitions": 4})
    found = acquire(app, port, here(NOON))
    assert (lease.writes, found.lease.held) == (0, False)
    found.lease.take(never, make=False)
    assert lease.kept
    assert lease.kept.content["holderIdentity"] == identity(app)


def test_whoever_took_a_free_lease_in_the_meantime_is_found_at_work(app: App) -> None:
    port, _, lease = fake_remote()
    lease.put({"leaseTransitions": 4})
    found = acquire(app, port, here(NOON))
    lease.put({"leaseTransitions": 5, "holderIdentity": "office_b", "leaseDurationSeconds": 60})
    with pytest.raises(InstallError) as refused:
        found.lease.take(lambda _: lease.put(dict(lease.kept.content) if lease.kept else {}), make=False)
    assert refused.value.code == ELSEWHERE


@pytest.mark.parametrize(("outcome", "writes"), [("succeeded", 0), ("failed", 1), ("interrupted", 1), ("", 1)])
def test_a_run_that_only_confirms_tells_the_cluster_of_its_success_if_the_last_one_was_none(
    outcome: str, writes: int, app: App
) -> None:
    port, slot, _ = fake_remote()
    known, before = here(NOON), there(NOON)
    before.state.run.outcome = outcome
    slot.put(before.pack())
    keeper = acquire(app, port, known).keeper(app, RunControl())
    keeper.start()
    for number, (kind, data) in enumerate(
        [(Kind.RUN_STARTED, {"mode": "resume"}), (Kind.RUN_FINISHED, {"outcome": "succeeded"})]
    ):
        keeper.handle(Event(51 + number, microseconds(ONE), "r2", kind, data=data))
    keeper.close(10)
    assert slot.writes == writes
    assert slot.kept
    assert unpack(slot.kept.content).state.run.outcome == "succeeded"


def test_garbage_is_named_and_this_machines_records_count(app: App) -> None:
    port, slot, _ = fake_remote()
    slot.put({"about.json": "{"})
    records = acquire(app, port, here(NOON)).records
    assert "holds no records that can be used" in records.notices[0]
    assert records.imported is None


@pytest.mark.parametrize("code", ["api-unreachable", "api-forbidden", "context-missing", "tool-missing"])
def test_a_cluster_that_does_not_answer_keeps_nobody_from_beginning(code: str, app: App) -> None:
    port, _, lease = fake_remote()
    lease.failures = [refusal(code)]
    found = acquire(app, port, Records(State("lab")))
    assert not found.lease.held
    assert found.records.notices == []


def test_the_lease_of_a_killed_run_of_this_machine_is_taken_at_once(app: App) -> None:
    port, _, lease = fake_remote()
    lease.put({"holderIdentity": identity(app), "leaseDurationSeconds": 60})
    found = acquire(app, port, here(NOON))
    found.lease.take(never, make=False)
    assert found.lease.held
    assert app.stderr.getvalue() == ""  # type: ignore[attr-defined]


class Place:
    """A provider whose cluster keeps records."""

    name = "kube-context"

    def __init__(self) -> None:
        self.port, self.records, self.lease = fake_remote()

    def remote(self) -> Remote:
        return self.port


def test_what_is_removed_outside_of_a_run_is_ours_alone_and_leaves_no_records(app: App) -> None:
    place = Place()
    place.records.put(there(NOON).pack())
    place.lease.put({})
    app.layout.lease_term.write_text("3\n")
    with alone_in_cluster(app, cast("Provider", place)):
        assert place.lease.kept
        assert place.lease.kept.content["holderIdentity"] == identity(app)
    assert place.records.kept is place.lease.kept is None
    assert not app.layout.lease_term.exists()


def test_what_could_not_be_removed_keeps_its_records_and_is_free_again(app: App) -> None:
    place = Place()
    place.records.put(there(NOON).pack())
    place.lease.put({})
    with pytest.raises(ZeroDivisionError), alone_in_cluster(app, cast("Provider", place)):
        raise ZeroDivisionError
    assert place.records.kept
    assert place.lease.kept
    assert "holderIdentity" not in place.lease.kept.content
