"""A repair accepts the losses of data that it showed, and those that it was asked to make."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.commands.repairs import accepted_losses
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.engine.replaced import DataReplaced
from kit.installed_records import app

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
    found = {"manifests_apply": CheckResult(findings=findings)}
    assert accepted_losses(app(tmp_path, *words, "--yes"), found) == ([SHOWN], any_loss)
