"""plan: what an installation, or a repair, would do now."""

from __future__ import annotations

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.runtime.app import App
from contextcore_install.runtime.check_all import checks_document, has_automatic_fix, report_remedies
from contextcore_install.runtime.installation import Installation
from contextcore_install.runtime.interaction import report_document
from contextcore_install.runtime.recovery import find_installation, known_records
from contextcore_install.runtime.selection import allocate_ports, select
from contextcore_install.steps.registry import NEEDS, TITLES

PREFLIGHT = "preflight"
SOMETHING_TO_DO = 2  # what `--detailed-exitcode` ends with if a run would do something; it is no error then


def run(app: App) -> int:
    show = _show_repair if app.settings.arguments["for_repair"] else _show_installation
    if not app.settings.arguments["detailed_exitcode"]:
        show(app)
        return ExitCode.DONE
    try:
        return show(app)
    except InstallError as error:
        raise replace(error, exit_code=ExitCode.STEP_FAILED) from error  # the others have a meaning of their own here


def _show_repair(app: App) -> int:
    """Show the plan; return what `--detailed-exitcode` ends with."""
    records, installation = find_installation(app, "plan --repair", "repair")
    found = installation.check(records.notices.append)
    fixable = has_automatic_fix(found, may_lose_data=False)
    problems = any(result.problems for result in found.values())
    after = [(app.commands("--repair"), "carries the remedies out" if fixable else "looks again, and does what it can")]
    report_remedies(app, installation.selection.provider, found, typed=after if problems else ())
    if not problems:
        return ExitCode.DONE
    return SOMETHING_TO_DO if fixable else ExitCode.STEP_FAILED


def _show_installation(app: App) -> int:
    from contextcore_install.ui.checks import render_plan
    from contextcore_install.ui.status import next_lines

    records = known_records(app)
    selection, notices = allocate_ports(app, records.state, select(app, records.state))
    found = Installation(app, selection, records.state).check(records.notices.append)
    head = [f"{app.settings.cluster} on {selection.provider} ({selection.reason})", *notices]
    obstacles = any(not finding.remedy or not finding.remedy.automatic for finding in found[PREFLIGHT].problems)
    to_do = not all(result.satisfied for result in found.values())
    typed = app.commands("verify"), "checks more than a plan does"
    if to_do:
        does = "carries this out" + (", once nothing stands in its way" if obstacles else "")
        typed = app.commands("--resume") if records.state.exists else app.commands(), does
    checks = checks_document(found, app.commands.typed)
    document = {
        "cluster": app.settings.cluster,
        "provider": selection.provider,
        "provider_reason": selection.reason,
        "ports": selection.ports,
        "steps": [{**check, "title": TITLES[check["id"]], "needs": list(NEEDS[check["id"]])} for check in checks],
        "next": typed[0],
    }
    report_document(
        app,
        "plan/v1",
        document,
        lambda style: "\n".join([*head, render_plan(found, style, TITLES), "", *next_lines([typed], style)]),
    )
    if obstacles:
        return ExitCode.STEP_FAILED
    return SOMETHING_TO_DO if to_do else ExitCode.DONE
