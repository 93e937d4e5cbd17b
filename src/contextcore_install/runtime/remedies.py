"""What a repair would do: all that is not as it should be, and what heals it, the smallest risk first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contextcore_install.core.findings import CheckResult, Risk
from contextcore_install.runtime.app import App
from contextcore_install.runtime.check_all import checks_document, survey
from contextcore_install.runtime.output import tell_document
from contextcore_install.runtime.recovery import known_records
from contextcore_install.runtime.selection import choose_provider, read_stack
from contextcore_install.ui.style import Style

REPAIR_SCHEMA = "contextcore-install/repair/v1"


def diagnose(app: App) -> tuple[str, dict[str, CheckResult]]:
    """Return the provider's name, and what every step's check finds. Raises InstallError; nothing is touched."""
    records = known_records(app)
    provider, _ = choose_provider(app, records.state)
    stack = read_stack(app, records.state)
    return provider, survey(stack.plan(stack.shipper(records.notices.append)), app.clock)


def tell_remedies(
    app: App, provider: str, found: dict[str, CheckResult], *, typed: Sequence[tuple[str, str]] = (), **facts: Any
) -> None:
    """Print what was found, and what a repair does about it; at the end what to type, and what that does (`typed`).

    `facts` are more members of the JSON document.
    """
    from contextcore_install.ui.plans import remedies, render_remedies
    from contextcore_install.ui.status import next_lines

    document = {
        "schema": REPAIR_SCHEMA,
        "cluster": app.settings.cluster,
        "provider": provider,
        "ok": all(result.satisfied for result in found.values()),
        "checks": checks_document(found, app.commands.typed),
        "remedies": [item.as_document(app.commands.typed) for item in remedies(found)],
        **facts,
    }
    if typed:
        document["next"] = typed[0][0]

    def render(style: Style) -> str:
        after = ["", *next_lines(typed, style)] if typed else []
        return "\n".join([render_remedies(found, style), *after])

    tell_document(app, document, render)


def curable(found: dict[str, CheckResult], *, may_lose_data: bool) -> bool:
    """Tell whether a repair would carry out anything for what was found."""
    remedies = [finding.remedy for result in found.values() for finding in result.problems]
    return any(
        remedy and (may_lose_data if remedy.risk is Risk.LOSES_DATA else remedy.automatic) for remedy in remedies
    )
