"""The bundle that a run leaves when it fails: what is there at once, and what the provider has in a few seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.system.signals import ending_signals_apart
from contextcore_install.system.supervisor import kill_all_children

if TYPE_CHECKING:
    from contextcore_install.core.evidence import Piece
    from contextcore_install.core.interfaces import StepContext
    from contextcore_install.runtime.bundle.bundle import Bundle
    from contextcore_install.runtime.session import Session

VARIABLE = "CONTEXTCORE_NO_BUNDLE"  # the environment variable that turns it off
QUICK_S = 4.0  # seconds for collecting: somebody waits for the last words of the run
TEXT_BYTES, TOTAL_BYTES = 48 * 1024, 1024 * 1024  # kept at most: hiding secrets in a megabyte takes about a second

_MODES = frozenset({"install", "resume", "repair"})


def bundle_of_failure(session: Session, result: RunResult) -> str:
    """Write a bundle if a run has failed, and return its path, else nothing: the run's own failure is the news."""
    wanted = result.outcome is Outcome.FAILED and "preflight" not in result.errors and session.mode in _MODES
    if not wanted or session.app.environ.get(VARIABLE):
        return ""
    token = CancelToken()
    try:
        with ending_signals_apart(token.cancel, kill_all_children, token.note):
            return str(_make(session, result, token).path)
    except Exception:  # noqa: BLE001 - a bundle that cannot be made must not hide the failure that it is about
        return ""


def _make(session: Session, result: RunResult, token: CancelToken) -> Bundle:
    from contextcore_install.engine.context import Context
    from contextcore_install.runtime.bundle.bundle import BundleDiagnosis, BundleLimits, details, make_bundle
    from contextcore_install.runtime.bundle.own_evidence import evidence_of

    app, provider = session.app, session.installation.provider

    def findings(_: StepContext) -> Iterator[Piece]:
        yield ("findings.json", {"failed": {step: error.as_document() for step, error in result.errors.items()}})

    def diagnosis() -> BundleDiagnosis:
        step, error = next(iter(result.errors.items()))
        more = f" (and {len(result.errors) - 1} more)" if len(result.errors) > 1 else ""
        about = f"The run was {session.run_id}; `diagnose` collects more, and what the checks find now."
        line = f"{step} failed: {error.message.rstrip('.')}{more}."
        return BundleDiagnosis(line, [*details(error, app.commands), about])

    evidence = evidence_of(app, provider, findings, journal_bytes=2 * TEXT_BYTES, runs=1, slow=False)
    limits = BundleLimits(QUICK_S, QUICK_S, TEXT_BYTES, 4 * TEXT_BYTES, TOTAL_BYTES)
    ctx = Context("", token, lambda *_: None, app.clock, app.clock.monotonic() + QUICK_S)
    return make_bundle(app, ctx, evidence, diagnosis, limits, provider=provider)
