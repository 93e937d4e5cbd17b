"""Finds programs on this machine, and asks each build of them for its version once."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import INSTALL_TOOLS, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.system.files import make_cache_folder, read_object, write_atomically
from contextcore_install.system.process import capture, run

#: Seconds that a program gets to say its version, and characters of it that are kept.
VERSION_WITHIN_S, VERSION_KEPT = 10.0, 500
_VERSION = re.compile(r"(?<![\w.-])v?(\d+)\.(\d+)(?:\.(\d+))?")


class PathPrograms:
    """`core.interfaces.Programs` on the machine's PATH."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, name: str) -> str | None:
        return shutil.which(name, path=self._environ.get("PATH", os.defpath))

    def run(self, argv: Sequence[str], ctx: StepContext, timeout_s: float) -> tuple[int, Sequence[str]]:
        completed = run(argv, ctx, timeout_s=timeout_s, environ=self._environ, check=False)
        return completed.exit_code, completed.lines


class Versions:
    """What programs print as their version, kept in a file by their path, size and time of change."""

    def __init__(self, environ: Mapping[str, str], memory: Path) -> None:
        self._environ, self._memory = environ, memory
        self._asked: dict[str, str | None] = {}
        self._known: dict[str, object] = read_object(memory) or {}

    def said(self, path: str, *arguments: str) -> str | None:
        """Return what a program prints for such arguments, asked once for each build; None if it fails."""
        try:
            status = Path(path).stat()
        except OSError:
            return None
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        if isinstance(known := self._known.get(key), str):
            return known
        if key not in self._asked:
            self._asked[key] = self._ask([path, *arguments])
        return self._asked[key]

    def _ask(self, argv: Sequence[str]) -> str | None:
        try:
            done = capture(argv, environ=self._environ, timeout_s=VERSION_WITHIN_S)
        except InstallError:
            return None
        return hide_secrets((done.stdout + done.stderr)[:VERSION_KEPT]) if done.exit_code == 0 else None

    def save(self) -> None:
        """Keep what is new. Raises OSError."""
        if new := {key: said for key, said in self._asked.items() if said is not None and key not in self._known}:
            self._known |= new
            write_atomically(self._memory, json.dumps(self._known, indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: how it is called, what it prints its version for, and the oldest version that will do."""

    name: str
    version_arguments: tuple[str, ...]
    oldest: tuple[int, ...]
    hint: str


KIND = Tool("kind", ("version",), (0, 20), "https://kind.sigs.k8s.io/docs/user/quick-start/#installation")
KUBECTL = Tool("kubectl", ("version", "--client"), (1, 22), "https://kubernetes.io/docs/tasks/tools/")


@dataclass(frozen=True, slots=True)
class FoundProgram:
    """A tool that is there; `version` is empty if it does not tell."""

    path: str
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        version = ".".join(map(str, self.version))
        return " ".join(filter(None, (Path(self.path).name, version, f"({self.path})")))


class ToolBox:
    """Tools on PATH first, then where we install them ourselves. `memory` keeps what they said."""

    def __init__(self, environ: Mapping[str, str], bin_folder: Path, memory: Path) -> None:
        self._folders = (environ.get("PATH", os.defpath), str(bin_folder))
        self.environ = {**environ, "PATH": os.pathsep.join(self._folders)}
        self._memory = memory

    def find(self, tool: Tool) -> FoundProgram | None:
        """Return the first that is recent enough, else the first of all; None if there is none."""
        versions, found = Versions(self.environ, self._memory), []
        for path in filter(None, (shutil.which(tool.name, path=folder) for folder in self._folders)):
            absolute = str(Path(path).absolute())
            version = _VERSION.search(versions.said(absolute, *tool.version_arguments) or "")
            numbers = version.groups("0") if version else ()
            found.append(FoundProgram(absolute, tuple(map(int, numbers))))
        with suppress(OSError):  # if it cannot be kept, the tool is asked again
            make_cache_folder(self._memory.parent)
            versions.save()
        return next((item for item in found if item.version >= tool.oldest), next(iter(found), None))

    def path(self, tool: Tool) -> str:
        """Return what to call a tool by; raises InstallError `tool-missing`."""
        found = self.find(tool)
        if found is None:
            message = f"There is no `{tool.name}` on this machine."
            raise InstallError("tool-missing", message, hint=f"{INSTALL_TOOLS}, or {tool.hint}")
        return found.path
