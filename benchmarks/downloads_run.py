"""Installs all components from a mirror: downloads_run.py URL FOLDER. Prints its peak memory, in bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from math import inf
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import contextcore_install.runtime.session
import contextcore_install.ui.console.live  # noqa: F401 - a run has it too
from contextcore_install.core.dataclass import replace
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.stack.catalogue import COMPONENTS
from contextcore_install.system.clock import SystemClock
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.install import install_programs
from contextcore_install.system.packages.releases import Platform, Release


class Mirrored(Upstream):
    """The mirror's files are no real ones: what is committed of those does not count."""

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        super().get(ctx, replace(release, digests={}), platform, target)


def main(url: str, folder: str) -> int:
    context = Context("preflight", CancelToken(), lambda *_: None, SystemClock(), inf)
    names = [component.name for component in COMPONENTS]
    found = install_programs(names, context, Path(folder, "bin"), os.environ, source=Mirrored({}, url))
    failed = {name: str(path) for name, path in found.items() if isinstance(path, Exception)}
    print(failed or peak_memory(Path("/proc/self/status").read_text().splitlines()))
    return int(bool(failed))


def peak_memory(status: Iterable[str]) -> int:
    """Return the most memory that this process had, in bytes: what it had before it became this program, left out."""
    own = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")]
    return own[0] if own else getrusage(RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
