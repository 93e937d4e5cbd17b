"""diagnose: everything that helps to find out what is wrong, as one redacted file. Nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import CheckResult, Finding, found_wrong
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Piece, Provider
from contextcore_install.core.text import and_more
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.bundle.bundle import REDACTED, Bundle, BundleLimits, Diagnosis, details, make_bundle
from contextcore_install.runtime.bundle.evidence import evidence_of
from contextcore_install.runtime.checks import NOT_KNOWN, checks_document
from contextcore_install.runtime.installation import Installation, resolve
from contextcore_install.runtime.interaction import cancellable, report_document
from contextcore_install.runtime.output_file import binary_file
from contextcore_install.runtime.recovery import known_records, require_installation
from contextcore_install.storage.bundles import bundle_name
from contextcore_install.ui.style import Style
from contextcore_install.ui.text import sanitize, size

LIMITS = BundleLimits(quick_s=60.0, slow_s=120.0)
"""Enough for an engine that hangs, and for all logs of a cluster of a few nodes."""


def diagnose(app: App) -> int:
    require_installation(app, "diagnose")
    name = bundle_name(app.settings.cluster, app.clock.now_us())
    with binary_file(app, name) as (reporting_app, target):
        return _write(reporting_app, target)


def _write(app: App, target: Path | None) -> int:
    with cancellable(app) as ctx:
        ctx.activity("collecting what helps to find out what is wrong")
        case = _Case(app)
        evidence = evidence_of(app, case.provider, case.findings)
        bundle = make_bundle(app, ctx, evidence, case.diagnosis, LIMITS, provider=case.provider, target=target)
    return _report(app, bundle)


class _Case:
    """What is known of an installation whatever its state, and what its checks find now."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._state = State(app.settings.cluster)
        self._trouble: InstallError | None = None
        self._installation: Installation | None = None
        self.provider: Provider | None = None
        self._found: dict[str, CheckResult] = {}
        self._notices: list[str] = []
        try:
            records = known_records(app)
            self._state, self._notices = records.state, records.notices
        except InstallError as error:
            self._trouble = error
        try:
            self._installation = resolve(app, self._state)
            self.provider = self._installation.provider
        except InstallError as error:
            self._trouble = self._trouble or error

    def findings(self, ctx: StepContext) -> Iterator[Piece]:
        if self.provider is None or self._installation is None:
            return
        token = CancelToken()
        with ctx.on_cancel(lambda: token.cancel("told to end")):
            self._found = self._installation.check(self._notices.append, token=token)
        checks = checks_document(self._found, self._app.commands.typed)
        yield "findings.json", {"checks": checks, "notices": self._notices}

    def diagnosis(self) -> Diagnosis:
        """Return what the checks have come to by now."""
        if self._trouble:
            return self._trouble.message, details(self._trouble, self._app.commands)
        line, finding = diagnosis_of(self._state, self._found)
        if finding is None:
            return line, self._notices
        return line, [*details(found_wrong(finding), self._app.commands), *self._notices]


def diagnosis_of(state: State, found: dict[str, CheckResult]) -> tuple[str, Finding | None]:
    """Return in one line what is wrong, and its first finding; `found` is empty if the checks could not be run."""
    failed = state.failed
    problems = [(step, finding) for step, result in found.items() for finding in result.problems]
    problems = [item for item in problems if item[1].code != NOT_KNOWN] or problems
    if state.exists and problems:
        step, finding = next((item for item in problems if item[0] in failed), problems[0])
        how = "failed" if step in failed else "is not as it should be"
        return f"{step} {how}: {finding.message.rstrip('.')}{and_more(problems)}.", finding
    if failed:
        now = ", and nothing is found wrong now" if found else ""
        message = (state.step(failed[0]).error or {}).get("message", "")
        return f"{failed[0]} failed{now}: {message}", None
    if not state.exists:
        return f"There is no installation {state.cluster_name}: nothing is recorded of one.", None
    if not found:
        return "Nothing is recorded as failed, and what there is now could not be looked at.", None
    return "Nothing is found wrong: every step is as it should be.", None


def _report(app: App, bundle: Bundle) -> int:
    document: dict[str, Any] = {
        "cluster": app.settings.cluster,
        "diagnosis": bundle.diagnosis,
        "path": str(bundle.path),
        "bytes": bundle.bytes,
        "redacted": True,
        "members": list(bundle.members),
        "not_collected": list(bundle.not_collected),
    }
    where = "Standard output" if app.stdout is app.stderr else str(bundle.path)
    return report_document(app, "diagnose/v1", document, lambda style: _render(bundle, where, style))


def _render(bundle: Bundle, where: str, style: Style) -> str:
    held = list(dict.fromkeys(name.partition("/")[0] for name in bundle.members))
    lines = [
        *style.paragraph(sanitize(bundle.diagnosis)),
        "",
        where,
        *style.paragraph(f"holds {', '.join(held)} ({size(bundle.bytes)})."),
        *(
            line
            for item in bundle.not_collected
            for line in style.paragraph(f"not collected: {sanitize(item)}", indent=2)
        ),
        *style.paragraph(f"{REDACTED} Nothing was sent."),
    ]
    return "\n".join(lines)
