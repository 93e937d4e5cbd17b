"""Finds the command-line tools that a provider works with, and asks each build of them for its version once."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import INSTALL_TOOLS
from contextcore_install.core.redaction import hide_secrets
from contextcore_install.system.capture import capture
from contextcore_install.system.files import make_cache_folder, read_text, write_atomically

#: Seconds that a tool gets to say its version.
VERSION_WITHIN_S = 10.0
_VERSION = re.compile(r"(?<![\w.-])v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: how it is called, what it prints its version for, and the oldest version that will do."""

    name: str
    version_arguments: tuple[str, ...]
    oldest: tuple[int, int]
    hint: str


@dataclass(frozen=True, slots=True)
class FoundProgram:
    """A tool that is there; `version` is empty where it does not tell."""

    path: str
    version: tuple[int, ...]

    @property
    def label(self) -> str:
        """Name, version and place, for people."""
        version = ".".join(map(str, self.version))
        return " ".join(filter(None, (Path(self.path).name, version, f"({self.path})")))


KIND = Tool("kind", ("version",), (0, 20), "https://kind.sigs.k8s.io/docs/user/quick-start/#installation")
KUBECTL = Tool("kubectl", ("version", "--client"), (1, 22), "https://kubernetes.io/docs/tasks/tools/")


class ToolBox:
    """Tools on PATH first, then where we install them ourselves. `memory` keeps what they said."""

    def __init__(self, environ: Mapping[str, str], bin_folder: Path, memory: Path) -> None:
        self.environ = {**environ, "PATH": f"{environ.get('PATH', os.defpath)}{os.pathsep}{bin_folder}"}
        self._folders = (environ.get("PATH", os.defpath), str(bin_folder))
        self._memory = memory

    def find(self, tool: Tool) -> FoundProgram | None:
        """Return the first that is recent enough, else the first of all; None where there is none."""
        found = [self._look(tool, path) for folder in self._folders if (path := self._which(tool, folder))]
        good = [item for item in found if item.version >= tool.oldest]
        return next(iter(good or found), None)

    def path(self, tool: Tool) -> str:
        """Return what to call a tool by; raises InstallError `tool-missing`."""
        found = self.find(tool)
        if found is None:
            raise InstallError(
                "tool-missing", f"There is no `{tool.name}` on this machine.", hint=f"{INSTALL_TOOLS}, or {tool.hint}"
            )
        return found.path

    def _which(self, tool: Tool, folders: str) -> str | None:
        path = shutil.which(tool.name, path=folders)
        return str(Path(path).absolute()) if path else None

    def _look(self, tool: Tool, path: str) -> FoundProgram:
        status = Path(path).stat()
        key = f"{path} {status.st_size} {status.st_mtime_ns}"
        known = self._read()
        said = known.get(key)
        if not isinstance(said, str):
            said = self._ask(tool, path)
            if said:
                self._keep(key, said)
        version = _VERSION.search(said)
        return FoundProgram(path, tuple(int(part) for part in version.groups("0")) if version else ())

    def _ask(self, tool: Tool, path: str) -> str:
        try:
            done = capture([path, *tool.version_arguments], environ=self.environ, timeout_s=VERSION_WITHIN_S)
        except InstallError:
            return ""
        return hide_secrets(done.stdout[:300]) if done.exit_code == 0 else ""

    def _keep(self, key: str, said: str) -> None:
        # Where it cannot be kept the tool is asked again.
        with suppress(OSError):
            make_cache_folder(self._memory.parent)
            write_atomically(self._memory, json.dumps({**self._read(), key: said}, indent=1) + "\n")

    def _read(self) -> dict[str, object]:
        try:
            document = json.loads(read_text(self._memory))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}
