from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from contextcore_install.core.provider import Drift
from contextcore_install.steps.base import StepTools
from contextcore_install.steps.provider_steps import ManifestsApply
from kit.fakes import FakeProvider, Told

MISSING, KEPT = Drift("mimir/command.json", "missing"), Drift("pod mimir-0", "another image", kept=True)


class Drifted(FakeProvider):
    """A provider whose release differs as it is told."""

    def __init__(self, *drift: Drift) -> None:
        super().__init__()
        self._drift = drift

    def drift(self) -> Sequence[Drift]:
        return self._drift


@pytest.mark.parametrize(
    ("drift", "summary"),
    [((), "everything is in sync"), ((KEPT,), "everything is in sync"), ((MISSING, KEPT), "1 object out of sync")],
)
def test_the_summary_does_not_contradict_what_is_missing(drift: Sequence[Drift], summary: str) -> None:
    nothing: Any = None
    step = ManifestsApply(StepTools(Drifted(*drift), nothing, nothing, nothing, nothing, nothing))
    assert step.check(cast("Any", Told().ctx)).summary == summary
