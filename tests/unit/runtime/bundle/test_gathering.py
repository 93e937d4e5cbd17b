"""Evidence is collected side by side; what fails or hangs takes nothing else with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Collector, Piece
from contextcore_install.runtime.bundle.evidence import gather
from kit.fakes import RealClock, Told

Collect = Callable[[StepContext], Iterator[Piece]]


def says(text: str) -> Collect:
    def collect(_: StepContext) -> Iterator[Piece]:
        yield f"{text}.txt", text

    return collect


def fails(error: BaseException) -> Collect:
    def collect(_: StepContext) -> Iterator[Piece]:
        yield "first.txt", "before it failed"
        raise error

    return collect


def collected(*items: Collector, quick_s: float = 60.0, slow_s: float = 60.0) -> dict[str, tuple[list[str], str]]:
    found = gather(items, Told().ctx, RealClock(), quick_s=quick_s, slow_s=slow_s)
    return {item.evidence.name: ([path for path, _ in item.pieces], item.trouble) for item in found}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InstallError("x", "no answer.", "port 9"), "no answer. port 9"),
        (OSError(5, "broken disk"), "OSError: [Errno 5] broken disk"),
        (RecursionError(), "RecursionError: "),
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_fails_is_told_with_what_it_had_and_the_rest_is_there(error: Exception, said: str) -> None:
    found = collected(Collector("a", says("a")), Collector("bad", fails(error)), Collector("z", says("z")))
    assert list(found) == ["a", "bad", "z"]
    assert found["bad"] == (["first.txt"], said)
    assert found["z"] == (["z.txt"], "")


def test_what_takes_too_long_is_told_to_end_and_what_does_not_even_then_is_left_behind() -> None:
    for_ever, ended = threading.Event(), threading.Event()

    def obedient(ctx: StepContext) -> Iterator[Piece]:
        yield "half.txt", "half"
        with ctx.on_cancel(ended.set):
            ctx.wait(600)

    def deaf(_: StepContext) -> Iterator[Piece]:
        for_ever.wait(600)
        yield "never.txt", ""

    found = collected(
        Collector("deaf", deaf),
        Collector("obedient", obedient),
        Collector("slow", says("slow"), slow=True),
        quick_s=0.2,
    )
    for_ever.set()
    assert found["obedient"] == (["half.txt"], "it took longer than 0.2 s")
    assert found["deaf"] == ([], "it took longer than 0.2 s")
    assert found["slow"] == (["slow.txt"], "")
    assert ended.is_set()


def test_all_that_hang_together_cost_the_time_of_one() -> None:
    def hang(_: StepContext) -> Iterator[Piece]:
        gate.wait(600)
        yield "never.txt", ""

    gate = threading.Event()
    began = time.monotonic()
    found = collected(*(Collector(str(number), hang) for number in range(30)), quick_s=0.5)
    took = time.monotonic() - began
    gate.set()
    assert len(found) == 30
    assert took < 20  # one after another they would take 45 s


def test_who_is_told_to_end_waits_for_nothing() -> None:
    told, gate = Told(), threading.Event()

    def hang(_: StepContext) -> Iterator[Piece]:
        threading.Timer(0.1, told.token.cancel, ["Ctrl-C"]).start()
        gate.wait(600)
        yield "never.txt", ""

    with pytest.raises(CancelledError):
        gather([Collector("deaf", hang)], told.ctx, RealClock(), quick_s=500, slow_s=500)
    gate.set()
