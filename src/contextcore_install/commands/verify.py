"""verify: every step's check, and the metrics read back."""

from __future__ import annotations

from contextcore_install.app import App
from contextcore_install.commands.news import News
from contextcore_install.commands.survey import checks_document, survey
from contextcore_install.commands.tell import tell_document
from contextcore_install.core.errors import ExitCode
from contextcore_install.recall import known_records
from contextcore_install.wiring import read_stack

VERIFY_SCHEMA = "contextcore-install/verify/v1"


def run(app: App) -> int:
    """Check everything; exit code 1 where something is not as it should be."""
    from contextcore_install.ui.status import render_live_findings

    records = known_records(app)
    stack = read_stack(app, records.state)
    results = survey(stack.plan(stack.shipper(records.notices.append)), app.clock)
    checks = checks_document(results, app.commands.typed)
    complete = all(result.satisfied for result in results.values())
    document = {
        "schema": VERIFY_SCHEMA,
        "cluster": app.settings.cluster,
        "provider": stack.provider_name,
        "ok": complete,
        "checks": checks,
    }
    repair = app.commands("--repair")
    verdict = (
        "everything is as it should be" if complete else f"not as it should be; {repair} fixes what it can"
    )
    tell_document(
        app,
        document,
        lambda look: f"{render_live_findings(checks, look)}\n\n{app.settings.cluster}: {verdict}",
    )
    if complete:
        return ExitCode.DONE
    news = News(app)
    news.verification_failed(stack.provider_name, results)
    news.tell_failures()
    return ExitCode.STEP_FAILED
