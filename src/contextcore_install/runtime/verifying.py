"""A verification of one installation: what `verification` needs to know, gathered from everywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contextcore_install.runtime.app import App
from contextcore_install.stack import provisioned
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.telemetry.readback import round_trip
from contextcore_install.verification.requirements import PrivateFile, VerificationTarget, verify
from contextcore_install.verification.results import RequirementResult

if TYPE_CHECKING:
    from contextcore_install.runtime.selection import Stack


def verify_stack(app: App, stack: Stack, limit_s: float) -> list[RequirementResult]:
    """Return how each requirement of a complete installation is, but for the steps' own checks."""
    cluster = app.settings.cluster
    subject = VerificationTarget(
        stack.provider,
        LoopbackHttp(),
        cluster,
        app.clock.now_us,
        spans_url=stack.spans_url,
        write_metric=lambda url: round_trip(url, cluster, app.clock.now_us()),
        dashboards=provisioned.dashboard_uids(),
        rules=provisioned.rule_uids(),
        private=tuple(_private_files(app)),
        replaced=stack.replaced if stack.knows_data else None,
    )
    return verify(subject, limit_s)


def _private_files(app: App) -> Iterator[PrivateFile]:
    """Yield what is to be its owner's alone: the home, and all records and secrets in the cluster's folder."""
    home, layout = app.home, app.layout
    yield PrivateFile(home.folder, 0o700)
    yield PrivateFile(home.clusters, 0o700)
    yield PrivateFile(layout.folder, 0o700)
    yield PrivateFile(layout.past, 0o700)
    for file in (layout.state, layout.journal, layout.cursors, layout.lock, home.contact_points):
        yield PrivateFile(file, 0o600)
