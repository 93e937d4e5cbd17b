"""Programs on PATH, for steps that only want to know what one of them says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

from contextcore_install.core.ports import StepContext


class PathPrograms:
    """`core.ports.Programs` on the machine's PATH."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, name: str) -> str | None:
        """Return where a program is, or None."""
        return shutil.which(name, path=self._environ.get("PATH", os.defpath))

    def run(self, argv: Sequence[str], ctx: StepContext, timeout_s: float) -> tuple[int, Sequence[str]]:
        """Run a command and return its exit code and last lines; raises InstallError when it cannot be run."""
        from contextcore_install.system import process

        completed = process.run(argv, ctx, timeout_s=timeout_s, environ=self._environ, check=False)
        return completed.exit_code, completed.lines
