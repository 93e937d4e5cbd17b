"""A plan that finishes the restore that was begun: one of its steps also fills the volumes."""

from __future__ import annotations

from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Provider, Volume
from contextcore_install.engine.plan import ONCE, Plan, Step
from contextcore_install.engine.state import RESTORE_STEP
from contextcore_install.storage.backup.archive import Manifest
from contextcore_install.storage.backup.restoring import begun, give_up, is_begun, volume_copy
from contextcore_install.storage.home import ClusterLayout

FILL_S = 4 * 3600.0


def with_restore(plan: Plan, layout: ClusterLayout, provider: Provider) -> Plan:
    """Return the plan, one step of which also fills the volumes if a restore was begun; raises InstallError."""
    manifest = begun(layout)
    if manifest is None:
        return plan
    return Plan([_RestoreStep(step, manifest, layout, provider) if step.id == RESTORE_STEP else step for step in plan])


class _RestoreStep:
    """A step, and volumes filled behind it. If that is cut off, the next run fills them all again."""

    retry = ONCE
    timeout_s = FILL_S

    def __init__(self, step: Step, manifest: Manifest, layout: ClusterLayout, provider: Provider) -> None:
        self._step, self._manifest, self._layout, self._provider = step, manifest, layout, provider
        self.id, self.title, self.needs = step.id, step.title, step.needs
        self.undo, self.by_hand = step.undo, step.by_hand

    def check(self, ctx: StepContext) -> CheckResult:
        if not is_begun(self._layout):
            return self._step.check(ctx)
        made_at = self._manifest.created_at
        message = f"the backup of {made_at} is not put back yet: a restore was begun, and not finished"
        # Losing what is there was agreed to when the restore was begun.
        remedy = Remedy("fill the volumes from the backup", risk=Risk.RESTARTS, automatic=True)
        return CheckResult(findings=(Finding("not-restored", message, remedy=remedy),))

    def apply(self, ctx: StepContext) -> None:
        self._step.apply(ctx)
        if not is_begun(self._layout):
            return
        components = {str(item["name"]): str(item.get("component", "")) for item in self._manifest.about["volumes"]}
        for name in self._manifest.volumes:
            with ctx.part(name), volume_copy(self._layout, name).open("rb") as file:
                ctx.activity(f"filling {name}")
                self._provider.data().fill(Volume(name, components[name], ""), file, ctx)
        give_up(self._layout)
