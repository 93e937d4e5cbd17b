"""plan: what an installation, or a repair, would do now."""

from __future__ import annotations

from contextcore_install.app import App
from contextcore_install.commands.remedies import diagnose, tell_remedies
from contextcore_install.commands.survey import checks_document, survey
from contextcore_install.commands.tell import tell_document
from contextcore_install.core.errors import ExitCode
from contextcore_install.recall import known_records
from contextcore_install.selection import beside_others, choose_provider, read_stack
from contextcore_install.steps.registry import NEEDS, TITLES

PLAN_SCHEMA = "contextcore-install/plan/v1"


def run(app: App) -> int:
    """Show the plan, and change nothing."""
    if app.settings.arguments["for_repair"]:
        tell_remedies(app, *diagnose(app))
        return ExitCode.DONE
    return _tell_installation(app)


def _tell_installation(app: App) -> int:
    from contextcore_install.ui.plans import render_plan

    records = known_records(app)
    provider, reason = choose_provider(app, records.state)
    stack, said = beside_others(app, records.state, read_stack(app, records.state))
    checks = checks_document(
        survey(stack.plan(stack.shipper(records.notices.append)), app.clock), app.commands.typed
    )
    head = [f"{app.settings.cluster} on {provider} ({reason})", *said]
    document = {
        "schema": PLAN_SCHEMA,
        "cluster": app.settings.cluster,
        "provider": provider,
        "provider_reason": reason,
        "ports": stack.ports,
        "steps": [
            {**check, "title": TITLES[check["id"]], "needs": list(NEEDS[check["id"]])} for check in checks
        ],
    }
    tell_document(
        app,
        document,
        lambda look: "\n".join([*head, render_plan(checks, look, TITLES)]),
    )
    return ExitCode.DONE
