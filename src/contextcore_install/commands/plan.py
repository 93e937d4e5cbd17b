"""plan: what an installation, or a repair, would do now."""

from __future__ import annotations

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.runtime.app import App
from contextcore_install.runtime.check_all import checks_document, survey
from contextcore_install.runtime.output import tell_document
from contextcore_install.runtime.recovery import known_records
from contextcore_install.runtime.remedies import curable, diagnose, tell_remedies
from contextcore_install.runtime.require_installation import require_known
from contextcore_install.runtime.selection import beside_others, choose_provider, read_stack
from contextcore_install.steps.registry import NEEDS, TITLES

PLAN_SCHEMA = "contextcore-install/plan/v1"


PREFLIGHT = "preflight"
SOMETHING_TO_DO = 2
"""What `--detailed-exitcode` ends with where a run would do something; it is no error then."""


def run(app: App) -> int:
    """Show the plan, and change nothing."""
    if not app.settings.arguments["detailed_exitcode"]:
        _show(app)
        return ExitCode.DONE
    try:
        return _show(app)
    except InstallError as error:
        error.exit_code = ExitCode.STEP_FAILED  # the others have a meaning of their own here
        raise


def _show(app: App) -> int:
    """Show the plan; return what `--detailed-exitcode` ends with."""
    if not app.settings.arguments["for_repair"]:
        return _show_installation(app)
    require_known(app, "plan --repair", "repair")
    provider, found = diagnose(app)
    todo = curable(found, may_lose_data=False)
    problems = any(result.problems for result in found.values())
    command = app.commands("--repair")
    after = [(command, "carries the remedies out" if todo else "looks again, and does what it can")]
    tell_remedies(app, provider, found, typed=after if problems else ())
    if not problems:
        return ExitCode.DONE
    return SOMETHING_TO_DO if todo else ExitCode.STEP_FAILED


def _show_installation(app: App) -> int:
    from contextcore_install.ui.plans import render_plan
    from contextcore_install.ui.status import next_lines

    records = known_records(app)
    provider, reason = choose_provider(app, records.state)
    stack, said = beside_others(app, records.state, read_stack(app, records.state))
    found = survey(stack.plan(stack.shipper(records.notices.append)), app.clock)
    checks = checks_document(found, app.commands.typed)
    head = [f"{app.settings.cluster} on {provider} ({reason})", *said]
    obstacles = any(not finding.remedy or not finding.remedy.automatic for finding in found[PREFLIGHT].problems)
    todo = sum(not check["satisfied"] for check in checks)
    typed = _next(app, known=records.state.exists, todo=todo, obstacles=obstacles)
    document = {
        "schema": PLAN_SCHEMA,
        "cluster": app.settings.cluster,
        "provider": provider,
        "provider_reason": reason,
        "ports": stack.ports,
        "steps": [{**check, "title": TITLES[check["id"]], "needs": list(NEEDS[check["id"]])} for check in checks],
        "next": typed[0],
    }
    tell_document(
        app,
        document,
        lambda style: "\n".join([*head, render_plan(found, style, TITLES), "", *next_lines([typed], style)]),
    )
    if obstacles:
        return ExitCode.STEP_FAILED
    return SOMETHING_TO_DO if todo else ExitCode.DONE


def _next(app: App, *, known: bool, todo: int, obstacles: bool) -> tuple[str, str]:
    """Return the command that follows a plan, and what it does."""
    if not todo:
        return app.commands("verify"), "checks more than a plan does"
    does = "carries this out" + (", once nothing stands in its way" if obstacles else "")
    return app.commands("--resume") if known else app.commands(), does
