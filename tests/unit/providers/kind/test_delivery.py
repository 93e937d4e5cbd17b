"""Images are on their way into a new cluster beside the steps, until one needs them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.events import Kind
from contextcore_install.providers.kind.delivery import Delivery
from kit.fakes import Told
from kit.stores import wait_until
from unit.providers.kind.test_images import DENIED, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def begin(lab: Lab, told: Told, *images: str) -> Delivery:
    return Delivery(lab.images(), lambda: images, told.ctx, nodes_run=True)


def test_what_is_here_is_loaded_while_another_image_is_still_pulled(lab: Lab) -> None:
    told = Told()
    lab.has("a/here:1")
    lab.says("waits-b_slow:1", "")
    lab.says("containerd-starts", "")
    delivery = begin(lab, told, "b/slow:1", "a/here:1")
    wait_until(lambda: lab.node("two") == ["imported"], "the image that is here is not loaded")
    (lab.folder / "waits-b_slow:1").unlink()
    assert list(delivery.left(told.ctx))[-1:] in ([], [{"b/slow:1"}])
    assert lab.node("one") == lab.node("two") == ["imported", "imported"]
    assert not told.notices
    assert len(lab.calls("ctr version")) == 3, "containerd starts a moment after its node"
    assert not delivery.is_under_way


def test_who_waits_is_told_what_is_left_whenever_that_has_changed(lab: Lab) -> None:
    first, second = Told(), Told()
    for image in ("a_one:1", "b_two:1"):
        lab.says(f"waits-{image}", "")
    delivery, seen = begin(lab, first, "a/one:1", "b/two:1"), list[frozenset[str]]()
    for left in delivery.left(second.ctx):
        seen.append(left)
        (lab.folder / f"waits-{min(left).replace('/', '_')}").unlink()
    assert seen == [{"a/one:1", "b/two:1"}, {"b/two:1"}]
    assert lab.node("one") == ["imported", "imported"]
    loading = [line for line in second.lines if line.startswith("loading")]
    assert len(loading) == 2, "it is reported to the step that waits"


def test_an_image_that_cannot_be_had_is_told_of_and_not_waited_for(lab: Lab) -> None:
    told = Told()
    lab.says("pull-says", DENIED)
    delivery = begin(lab, told, "grafana/loki:9")
    assert list(delivery.left(told.ctx))[1:] == []
    ended = [(data["part"], data["outcome"]) for kind, data in told.events if kind is Kind.PART_FINISHED]
    assert ended == [("pull grafana/loki:9", "failed"), ("images", "failed")]


def test_a_step_that_is_to_end_waits_no_more_and_what_it_waited_for_goes_on(lab: Lab) -> None:
    told = Told()
    lab.says("waits-a_one:1", "")
    delivery = begin(lab, Told(), "a/one:1")
    waiting = delivery.left(told.ctx)
    assert next(waiting) == {"a/one:1"}
    threading.Timer(0.2, told.token.cancel, ["Ctrl-C"]).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        next(waiting)
    assert time.monotonic() - began < 30
    assert delivery.is_under_way
    delivery.end("the test is over")


def test_a_step_that_is_short_of_time_waits_no_more(lab: Lab) -> None:
    lab.says("waits-a_one:1", "")
    delivery, told = begin(lab, Told(), "a/one:1"), Told(limit_s=0)
    assert list(delivery.left(told.ctx))[1:] == []
    assert [data["outcome"] for kind, data in told.events if kind is Kind.PART_FINISHED] == ["failed"]
    assert delivery.is_under_way
    delivery.end("the test is over")


def test_a_step_that_is_short_of_time_does_not_wait_for_the_manifests_either(lab: Lab) -> None:
    read = threading.Event()
    giving_up = threading.Timer(10, read.set)
    giving_up.start()

    def reads() -> list[str]:
        read.wait()
        return []

    delivery = Delivery(lab.images(), reads, Told().ctx, nodes_run=True)
    assert list(delivery.left(Told(limit_s=0).ctx)) == []
    assert not read.is_set()
    giving_up.cancel()
    read.set()
    delivery.end("the test is over")


def test_what_is_to_end_is_nothing_to_wait_for_and_has_nothing_more_to_say(lab: Lab) -> None:
    told, images = Told(), ("a/one:1", "b/two:1", "c/three:1")
    for image in images:
        lab.says(f"waits-{image.replace('/', '_')}", "")
    delivery = Delivery(lab.images(), lambda: images, told.ctx)
    wait_until(lambda: len(told.texts(Kind.PART_STARTED, "part")) == 3, "nothing is pulled")
    (lab.folder / "nodes").rename(lab.folder / "gone")  # as when kind was told to end as well
    told.ctx.whole_run.cancel("the run has ended")  # type: ignore[attr-defined]
    assert not delivery.is_under_way
    delivery.end("the test is over")
    assert told.notices == []
    assert told.texts(Kind.PART_STARTED, "part")[3:] == []


def test_nothing_outlasts_the_run(lab: Lab) -> None:
    told = Told()
    lab.says("waits-a_one:1", "")
    begin(lab, told, "a/one:1")
    wait_until(lambda: (lab.folder / "calls").exists() and lab.calls("pull"), "nothing is pulled")
    told.ctx.whole_run.cancel("the run has ended")  # type: ignore[attr-defined]
    wait_until(lambda: told.texts(Kind.PART_FINISHED, "part")[1:], "it goes on after the run")
    assert lab.node("one") == []


def test_a_defect_on_the_way_is_not_hidden(lab: Lab) -> None:
    def fails() -> list[str]:
        raise InstallError("manifests-unusable", "They cannot be read.")

    def breaks() -> list[str]:
        raise LookupError("a defect")

    told = Told()
    assert list(Delivery(lab.images(), fails, told.ctx).left(told.ctx)) == []
    assert told.notices == ["They cannot be read. The nodes pull what they lack, if they can."]
    with pytest.raises(LookupError):
        list(Delivery(lab.images(), breaks, told.ctx).left(told.ctx))
