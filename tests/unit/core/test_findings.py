"""What to do after a failure is never what was just done."""

from __future__ import annotations

import pytest

from contextcore_install.core.findings import Finding, Remedy, found_wrong, still_wrong

REPAIR = "./create-cluster.sh --repair"


@pytest.mark.parametrize(
    ("remedy", "before", "after"),
    [
        (Remedy("create it", automatic=True), REPAIR, "./create-cluster.sh diagnose"),
        (Remedy("Start it.", REPAIR, automatic=True), REPAIR, "./create-cluster.sh diagnose"),
        (Remedy("Get it.", "apt install it", automatic=True), "apt install it", "apt install it"),
        (Remedy("Have it mended.", REPAIR), REPAIR, REPAIR),
        (Remedy("Use Linux."), "Use Linux.", "Use Linux."),
        (None, "", ""),
    ],
)
def test_what_was_carried_out_and_did_not_help_is_not_named_again(
    remedy: Remedy | None, before: str, after: str
) -> None:
    finding = Finding("broken", "it is broken", remedy=remedy)
    assert found_wrong(finding).hint == before
    assert still_wrong((finding,)).hint == after
