from __future__ import annotations

import threading
import time

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.threads import OutlastingContext, once, run_concurrently
from kit.fakes import Told


def test_what_takes_too_long_is_left_behind() -> None:
    end = threading.Event()
    began = time.monotonic()
    found = run_concurrently({"slow": lambda: end.wait(60), "quick": lambda: True}, 0.3)
    assert time.monotonic() - began < 30
    end.set()
    assert found["quick"] is True
    assert isinstance(found["slow"], InstallError)
    assert found["slow"].code == "too-slow"


def test_what_is_done_once_is_the_same_for_all_who_ask() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise InstallError("api-down", "the cluster does not answer")

    ask = once(fail)
    for _ in range(3):
        with pytest.raises(InstallError):
            ask()
    assert len(calls) == 1


def test_work_that_outlasts_its_step_reports_to_the_next_and_ends_with_the_run() -> None:
    first, second = Told(), Told()
    outlasting, ended = OutlastingContext(first.ctx), list[str]()
    with outlasting.part("pull"):
        outlasting.output("one")
        first.token.cancel("this step is over")
        assert outlasting.report_to(second.ctx)
        outlasting.output("two")
    outlasting.raise_if_cancelled()
    assert (first.lines, second.lines) == (["one"], ["two"])
    with outlasting.on_cancel(lambda: ended.append("pull")):
        first.ctx.whole_run.cancel("the run has ended")  # type: ignore[attr-defined]
    assert ended == ["pull"]
    with pytest.raises(CancelledError):
        outlasting.wait(60)
