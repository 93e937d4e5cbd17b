"""A restore from when it begins to replace anything until all is replaced: it outlives the process that began it.

What is put back lies in a folder of its own. The rename that gives the folder its name is the moment from which every
run carries the restore on, whatever it was started for: one step of its plan also fills the volumes. The restore is
done when the folder is gone.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.findings import CheckResult, Finding, Remedy, Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Provider, Volume
from contextcore_install.engine.plan import ONCE, Plan, Step
from contextcore_install.engine.state import RESTORE_STEP
from contextcore_install.storage.archived import archive_records
from contextcore_install.storage.backup.archive import MANIFEST, RECORDS, VOLUMES, Manifest, read_manifest
from contextcore_install.storage.files import UnreadableFileError, parse_json, read_regular, using
from contextcore_install.storage.home import ClusterLayout, Home
from contextcore_install.system.files import UNFINISHED, sync_folder

_FILL_S = 4 * 3600.0
_PLACING = "placing"  # the name of the records' folder once those that were there are out of the way


def staging(layout: ClusterLayout) -> Path:
    """Return where a backup is laid out and checked, before anything begins."""
    return layout.folder / f".{layout.restore.name}{UNFINISHED}"


def begin(layout: ClusterLayout) -> None:
    """Have what was laid out put back, by this run or a later one, instead of one begun before; raises InstallError."""
    give_up(layout)
    with using(layout.restore):
        staging(layout).rename(layout.restore)
    sync_folder(layout.folder)


def begun(layout: ClusterLayout) -> Manifest | None:
    """Return the manifest of the backup that is being put back, if one is; raises InstallError."""
    if not is_begun(layout):
        return None
    try:
        return read_manifest(parse_json(read_regular(layout.restore / MANIFEST) or b""))
    except UnreadableFileError as error:
        why = f"{layout.restore / MANIFEST} is of no use ({error})"
        message = f"a restore was cut off and cannot be finished: {why}"
        raise InstallError("restore-lost", message, hint=own("restore", "FILE")) from None


def is_begun(layout: ClusterLayout) -> bool:
    """Whether a backup is being put back, or was when a run was cut off."""
    return layout.restore.is_dir()


def place_records(home: Home, cluster: str) -> None:
    """Archive the present records and put those of the backup in their place; if it is cut off, it can be repeated.

    The caller holds the lock. Raises InstallError.
    """
    layout = home.cluster(cluster)
    records, placing = layout.restore / RECORDS, layout.restore / _PLACING
    with using(layout.folder):
        if records.is_dir():
            archive_records(home, cluster, replaced=True)
            records.rename(placing)
        if placing.is_dir():
            for path in sorted(placing.iterdir()):
                path.rename(layout.folder / path.name)
            sync_folder(layout.folder)
            placing.rmdir()


def give_up(layout: ClusterLayout) -> None:
    """End a restore: it is done, or something else is wanted now. Raises InstallError."""
    ended = layout.folder / f".{layout.restore.name}-ended{UNFINISHED}"
    shutil.rmtree(ended, ignore_errors=True)  # of one that was killed
    with using(layout.restore), suppress(FileNotFoundError):
        layout.restore.rename(ended)
        sync_folder(layout.folder)
        shutil.rmtree(ended, ignore_errors=True)


def with_restore(plan: Plan, layout: ClusterLayout, provider: Provider) -> Plan:
    """Return the plan, one step of which also fills the volumes if a restore was begun; raises InstallError."""
    manifest = begun(layout)
    if manifest is None:
        return plan
    return Plan([_RestoreStep(step, manifest, layout, provider) if step.id == RESTORE_STEP else step for step in plan])


class _RestoreStep:
    """A step, and volumes filled behind it. If that is cut off, the next run fills them all again."""

    retry = ONCE
    timeout_s = _FILL_S

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
            with ctx.part(name), (self._layout.restore / VOLUMES / f"{name}.tar").open("rb") as file:
                ctx.activity(f"filling {name}")
                self._provider.data().fill(Volume(name, components[name], ""), file, ctx)
        give_up(self._layout)
