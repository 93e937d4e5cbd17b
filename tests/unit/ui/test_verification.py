"""A verification as people read it: what is wrong first, nothing skipped shown as passed, no line too long."""

from __future__ import annotations

from typing import Any

import pytest

from contextcore_install.core.findings import CheckResult, finding_from_document
from contextcore_install.ui.checks import render_verification
from contextcore_install.ui.hints import Commands
from contextcore_install.ui.style import Style, shown_cells

REMEDY = {"summary": "do it", "command": "./create-cluster.sh --repair"}


def requirement(name: str, status: str, *, critical: bool = True, category: str = "observability") -> Any:
    finding = {"code": name, "message": f"{name} is wrong", "evidence": "seen", "remedy": REMEDY}
    return {
        "id": name,
        "title": f"The {name}",
        "category": category,
        "critical": critical,
        "status": status,
        "evidence": "\x1b[31mnot there" if status == "skipped" else "what was seen",
        **({"findings": [finding]} if status == "unmet" else {}),
    }


def document(*requirements: Any, ok: bool = True, **more: Any) -> dict[str, Any]:
    rows = []
    for category in ("tooling", "observability"):
        of_it = [each["status"] for each in requirements if each["category"] == category]
        counts = {status: of_it.count(status) for status in ("met", "unmet", "skipped")}
        looked_at = counts["met"] + counts["unmet"]
        percent = 100.0 * counts["met"] / looked_at if looked_at else None
        rows.append({"category": category, "completeness_percent": percent, **counts})
    return {
        "cluster": "demo",
        "ok": ok,
        "completeness_percent": 50.0,
        "categories": rows,
        "requirements": list(requirements),
        "recorded": True,
        **more,
    }


def shown(
    *requirements: Any, style: Style | None = None, ok: bool = True, check: CheckResult | None = None, **more: Any
) -> str:
    checks = {"preflight": check or CheckResult("14 met")}
    return render_verification(
        document(*requirements, ok=ok, **more), checks, style or Style(80), Commands(cluster="demo")
    )


def test_what_is_critical_comes_first_with_what_to_type_and_then_the_rest() -> None:
    text = shown(
        requirement("a", "met"), requirement("minor", "unmet", critical=False), requirement("major", "unmet"), ok=False
    )
    places = [text.index(part) for part in ("Not met\n", "major is wrong", "Not met, and not", "minor is wrong")]
    assert places == sorted(places)
    assert "→ ./create-cluster.sh --repair" in text
    assert "demo: not as it should be (50 % of the requirements are met)" in text


def test_what_is_not_critical_is_said_and_is_no_failure() -> None:
    text = shown(requirement("minor", "unmet", critical=False), style=Style(200))
    assert text.endswith("demo: works (50 % of the requirements are met); not met, and not critical: 1 requirement")


def test_what_was_skipped_for_one_reason_has_one_row() -> None:
    lines = shown(*(requirement(name, "skipped") for name in "abc"), requirement("d", "met")).splitlines()
    rows = [line.split() for line in lines if line.startswith("  ") and " The " in line]
    assert [row[1:6] for row in rows] == [["The", "a,", "and", "2", "more"], ["The", "d", "what", "was", "seen"]]


def test_what_was_skipped_has_its_reason_and_is_not_shown_as_passed() -> None:
    lines = shown(requirement("a", "skipped"), requirement("b", "skipped", category="tooling")).splitlines()
    assert "observability  nothing could be looked at" in lines
    assert "  · The a skipped: not there" in [line.replace("[31m", "") for line in lines]


def test_a_warning_is_seen_though_its_requirement_is_met() -> None:
    warned = {**requirement("a", "met"), "findings": [{"message": "little room", "warning": True}]}
    assert "  ! The a little room" in shown(warned).splitlines()


def test_a_steps_check_is_told_once() -> None:
    step = requirement("preflight", "unmet", category="tooling")
    check = CheckResult(findings=tuple(finding_from_document(each) for each in step["findings"]))
    assert shown(step, check=check, ok=False).count("preflight is wrong") == 1


def test_it_is_said_where_nothing_was_recorded() -> None:
    text = shown(requirement("a", "met"), recorded=False, not_recorded="another run is at work")
    assert text.endswith("This was not recorded: another run is at work")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_lines_fit_but_for_commands(width: int) -> None:
    text = shown(requirement("a" * 90, "met"), requirement("b", "unmet"), style=Style(width), ok=False)
    long = [line for line in text.splitlines() if shown_cells(line) > width]
    assert all("create-cluster.sh" in line for line in long)
