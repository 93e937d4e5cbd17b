"""One machine acts at a time; what lost its lease does not act."""

from __future__ import annotations

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.engine.replica import StoredObject
from contextcore_install.storage.replica.lease import ELSEWHERE, LEASE_S, TRUST_S, UNCONFIRMED, Lease, describe_holder
from kit.remote_world import FakeSlot, SleepingClock, refusal


@pytest.fixture
def clock() -> SleepingClock:
    return SleepingClock()


def lease_of(slot: FakeSlot, clock: SleepingClock, who: str = "laptop_a") -> Lease:
    return Lease(slot, who, clock)


def holder(slot: FakeSlot) -> object:
    return slot.kept and slot.kept.content.get("holderIdentity")


def test_a_lease_is_made_only_where_that_is_asked_for(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    assert not lease.take(clock.pause, make=False)
    assert slot.kept is None
    assert lease.take(clock.pause, make=True)
    assert slot.kept
    assert describe_holder(slot.kept.content)["host"] == "laptop"


def test_a_holder_who_lives_is_told_of_and_left_alone(clock: SleepingClock) -> None:
    slot = FakeSlot()
    other = lease_of(slot, clock, "office_b")
    other.take(clock.pause, make=True)

    def renewed(seconds: float) -> None:
        clock.pause(seconds)
        other.renew()

    with pytest.raises(InstallError, match=r"another machine is at work .* office, since 2") as refused:
        lease_of(slot, clock).take(renewed, make=True)
    assert (refused.value.code, refused.value.exit_code) == (ELSEWHERE, ExitCode.LOCKED)
    assert holder(slot) == "office_b"


def test_a_holder_who_died_is_waited_for_and_followed(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease_of(slot, clock, "office_b").take(clock.pause, make=True)
    began = clock.now
    assert lease_of(slot, clock).take(clock.pause, make=False)
    assert clock.now - began == pytest.approx(LEASE_S)
    assert holder(slot) == "laptop_a"
    assert slot.kept
    assert slot.kept.content["leaseTransitions"] == 2


def test_neither_a_released_lease_nor_our_own_is_waited_for(clock: SleepingClock) -> None:
    slot = FakeSlot()
    first = lease_of(slot, clock, "office_b")
    first.take(clock.pause, make=True)
    first.release()
    assert slot.kept
    assert describe_holder(slot.kept.content) == {}
    lease_of(slot, clock).take(clock.pause, make=False)
    lease_of(slot, clock).take(clock.pause, make=False)  # a run of ours that was killed
    assert clock.now == 1000.0


@pytest.mark.parametrize("seconds", [None, 0, -5, "60", True, 1e9])
def test_a_lease_of_nonsense_is_waited_for_as_one_of_ours(seconds: object, clock: SleepingClock) -> None:
    slot = FakeSlot()
    slot.put({"holderIdentity": "somebody", "leaseDurationSeconds": seconds, "leaseTransitions": "many"})
    assert lease_of(slot, clock).take(clock.pause, make=True)
    assert clock.now - 1000 == pytest.approx(LEASE_S)


def test_who_is_slower_finds_the_faster_one_at_work(clock: SleepingClock) -> None:
    class Raced(FakeSlot):
        def read(self) -> StoredObject | None:
            found = super().read()
            if found is None:
                self.put({"holderIdentity": "office_b", "leaseDurationSeconds": 60})
            return found

    slot = Raced()

    def renewed(seconds: float) -> None:
        slot.put({"holderIdentity": "office_b", "leaseDurationSeconds": 60})

    with pytest.raises(InstallError, match="office"):
        lease_of(slot, clock).take(renewed, make=True)


def test_who_looked_before_another_was_at_work_does_not_act_on_it(clock: SleepingClock) -> None:
    slot = FakeSlot()
    other = lease_of(slot, clock, "office_b")
    other.take(clock.pause, make=True)
    other.release()
    lease = lease_of(slot, clock)
    lease.await_turn(clock.pause)
    other.take(clock.pause, make=True)
    other.release()
    for _ in range(2):  # nor when asked again
        with pytest.raises(InstallError) as refused:
            lease.confirm(clock.pause, make=True)
        assert refused.value.code == ELSEWHERE
    assert holder(slot) is None


def test_a_free_lease_that_was_only_touched_is_taken(clock: SleepingClock) -> None:
    slot = FakeSlot()
    slot.put({"leaseTransitions": 4})
    lease = lease_of(slot, clock)
    lease.await_turn(clock.pause)
    slot.put({"leaseTransitions": 4})
    assert lease.confirm(clock.pause, make=True)
    assert lease.term == 5


def test_without_an_answer_a_free_lease_is_not_acted_on(clock: SleepingClock) -> None:
    slot = FakeSlot()
    slot.put({"leaseTransitions": 4})
    lease = lease_of(slot, clock)
    lease.await_turn(clock.pause)
    for lost in (False, True):
        slot.failures, slot.lose_answers = ([], 1) if lost else ([refusal("api-unreachable")], 0)
        with pytest.raises(InstallError) as unknown:
            lease.confirm(clock.pause, make=True)
        assert (unknown.value.code, unknown.value.retryable) == (UNCONFIRMED, True)
    assert lease.confirm(clock.pause, make=True)
    assert holder(slot) == "laptop_a"


@pytest.mark.parametrize("code", ["api-forbidden", "policy-denied"])
def test_who_may_not_take_a_free_lease_hears_just_that(code: str, clock: SleepingClock) -> None:
    slot = FakeSlot()
    slot.put({"leaseTransitions": 4})
    lease = lease_of(slot, clock)
    lease.await_turn(clock.pause)
    slot.failures = [refusal(code)]
    with pytest.raises(InstallError) as refused:
        lease.confirm(clock.pause, make=True)
    assert refused.value.code == code


def test_while_renewals_are_fresh_nobody_is_asked(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    lease.take(clock.pause, make=True)
    slot.failures = [refusal("api-unreachable")]
    clock.now += TRUST_S
    assert lease.confirm(clock.pause, make=True)
    assert slot.failures


def test_a_laptop_that_slept_does_not_act_on_the_lease_it_lost(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    lease.take(clock.pause, make=True)
    clock.now += 8 * 3600
    slot.put({"holderIdentity": "office_b", "acquireTime": "2026-01-01T12:00:00.000000Z"})
    for _ in range(2):  # and does not get it back by asking again
        with pytest.raises(InstallError, match=r"has lost its lease, and stops: .* office, since 2026") as lost:
            lease.confirm(clock.pause, make=True)
        assert lost.value.exit_code is ExitCode.LOCKED
    lease.release()
    assert holder(slot) == "office_b"


def test_a_laptop_that_slept_goes_on_where_nobody_took_its_lease(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    lease.take(clock.pause, make=True)
    clock.now += 8 * 3600
    assert lease.confirm(clock.pause, make=True)
    assert holder(slot) == "laptop_a"


def test_without_an_answer_an_old_lease_is_not_acted_on(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    lease.take(clock.pause, make=True)
    clock.now += TRUST_S + 1
    slot.failures = [refusal("api-unreachable")]
    with pytest.raises(InstallError) as unknown:
        lease.confirm(clock.pause, make=True)
    assert (unknown.value.code, unknown.value.retryable) == (UNCONFIRMED, True)
    assert lease.confirm(clock.pause, make=True)


def test_a_renewal_whose_answer_was_lost_is_ours_all_the_same(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    lease.take(clock.pause, make=True)
    slot.lose_answers = 1
    with pytest.raises(InstallError):
        lease.renew()
    lease.renew()
    assert lease.held
    lease.release()
    assert holder(slot) is None


def test_a_lease_that_went_with_its_namespace_is_taken_again(clock: SleepingClock) -> None:
    slot = FakeSlot()
    lease = lease_of(slot, clock)
    lease.take(clock.pause, make=True)
    slot.remove()
    lease.renew()
    assert not lease.held
    assert lease.confirm(clock.pause, make=True)
    assert holder(slot) == "laptop_a"
