"""A repair accepts the losses of data that it showed, and those that it was asked to make."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.commands.repair import accept_shown
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.engine.replaced import DataReplaced
from unit.runtime.test_ending import app

SHOWN = DataReplaced("data-replaced", "it is gone", warning=True, name="data-loki-0", was="a", now="b")
DRIFT = Finding("drift", "it differs", remedy=Remedy("put it back", automatic=True))
LOST = Finding("node-lost", "a node is gone", remedy=Remedy("make it anew", risk=Risk.LOSES_DATA))


@pytest.mark.parametrize(
    ("words", "findings", "any_loss"),
    [
        (("--repair",), (SHOWN, DRIFT), False),
        (("--repair",), (SHOWN, LOST), False),
        (("--repair", "--allow-data-loss"), (SHOWN, DRIFT), False),
        (("--repair", "--allow-data-loss"), (SHOWN, LOST), True),
    ],
)
def test_any_loss_is_accepted_only_if_one_was_shown_that_the_repair_makes(
    words: tuple[str, ...], findings: tuple[Finding, ...], any_loss: bool, tmp_path: Path
) -> None:
    session: Any = SimpleNamespace(accepted=(), accepts_any_loss=False)
    accept_shown(app(tmp_path, *words), session, {"manifests_apply": CheckResult(findings=findings)})
    assert (list(session.accepted), bool(session.accepts_any_loss)) == ([SHOWN], any_loss)
