"""Programs that the user's own service manager keeps running: systemd's user manager, or launchd.

A service is one file in the user's folder for them (systemd.unit(5) "User Unit Search Path"; launchd.plist(5)), written
as this user's alone, and what the manager is told about it. Everything can be repeated.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.tables import read_table
from contextcore_install.system.files import write_atomically, writing
from contextcore_install.system.process import Captured, capture

ANSWER_S, CHANGE_S = 10.0, 60.0
_TABLE = Path(__file__).with_suffix(".toml")
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """What to keep running. `name` is unique among the user's services."""

    name: str
    description: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def manager_of(environ: Mapping[str, str], platform: str = sys.platform) -> Manager:
    return Launchd(environ) if platform == "darwin" else SystemdUser(environ)


class Manager(ABC):
    """A service manager of the user's, by its part of services.toml. All that asks it raises InstallError."""

    name: str

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._home = Path(environ.get("HOME") or Path.home())
        self._table = read_table(_TABLE)[self.name]

    @abstractmethod
    def path(self, name: str) -> Path:
        """Return where a service's file is, or would be."""

    @abstractmethod
    def content(self, service: Service) -> str:
        """Return what the file holds."""

    def commands(self, name: str) -> tuple[Words, ...]:
        """Return what the manager is told when a service is installed."""
        return tuple(self._words(words, name) for words in self._table["load"])

    def require(self) -> None:
        """Raise InstallError if there is no such manager, or it does not answer."""
        try:
            done = self._ask(self._filled("answers"))
            evidence = "" if done.exit_code == 0 else done.stderr.strip() or f"exit code {done.exit_code}"
        except InstallError as error:
            evidence = error.message
        if evidence:
            message, remedy = self._table["absent"]
            hint = f"{remedy}, or leave it running in a terminal: {own('watch')}"
            raise InstallError("no-service-manager", message, evidence, hint)

    def install(self, service: Service, ctx: StepContext) -> bool:
        """Have it run now, with this file, and from every login on; return whether anything had to be done."""
        self.require()
        path, content = self.path(service.name), self.content(service)
        with _changing(path):
            changed = not path.is_file() or path.read_text(encoding="utf-8") != content
            if changed:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
        if self._runs(service.name):
            if not changed:
                return False
            if not self._table["restarts"]:
                self._ask(self._filled("unload", service.name), CHANGE_S, ctx)
        for argv in self.commands(service.name):
            self._tell(argv, ctx)
        return True

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """End it and remove its file, the file alone if the manager does not answer; return whether there was one."""
        path = self.path(name)
        if not path.exists():
            return False
        try:
            self._tell(self._filled("unload", name), ctx)
        except InstallError:  # if it does not run, or the manager does not answer, its file is all there is
            if self._runs(name):
                raise
        with _changing(path):
            path.unlink()
        if after_removal := self._filled("after_removal"):
            with suppress(InstallError):
                self._tell(after_removal, ctx)
        return True

    def _runs(self, name: str) -> bool:
        try:
            return self._ask(self._filled("is_running", name)).exit_code == 0
        except InstallError:
            return False

    def _filled(self, command: str, name: str = "") -> Words:
        return self._words(self._table[command], name)

    def _words(self, words: Sequence[str], name: str) -> Words:
        return tuple(word.format(name=name, path=self.path(name), uid=os.getuid()) for word in words)

    def _ask(self, argv: Words, timeout_s: float = ANSWER_S, ctx: StepContext | None = None) -> Captured:
        return capture(argv, environ=self._environ, timeout_s=timeout_s, ctx=ctx)

    def _tell(self, argv: Words, ctx: StepContext) -> None:
        command = " ".join(argv)
        ctx.activity(command)
        done = self._ask(argv, CHANGE_S, ctx)
        if done.exit_code != 0:
            raise InstallError("service-manager", f"`{command}` failed.", done.stderr.strip() or done.stdout.strip())


class SystemdUser(Manager):
    """systemd's user manager."""

    name = "systemd"

    def path(self, name: str) -> Path:
        config = self._environ.get("XDG_CONFIG_HOME") or str(self._home / ".config")
        return Path(config) / "systemd" / "user" / f"{name}.service"

    def content(self, service: Service) -> str:
        """Return the unit (systemd.service(5), systemd.exec(5))."""
        variables = [_quoted(f"{name}={value}") for name, value in sorted(service.environ.items())]
        unit: str = self._table["unit"]
        return unit.format(
            description=service.description.replace("%", "%%"),
            environ="".join(f"Environment={variable}\n" for variable in variables),
            command=" ".join(_quoted(word).replace("$", "$$") for word in service.argv),
        )


class Launchd(Manager):
    """launchd's agents of this user."""

    name = "launchd"

    def path(self, name: str) -> Path:
        return self._home / "Library" / "LaunchAgents" / f"{name}.plist"

    def content(self, service: Service) -> str:
        """Return the property list (launchd.plist(5))."""
        import plistlib

        log = str(self._home / "Library" / "Logs" / f"{service.name}.log")
        own = {
            "Label": service.name,
            "ProgramArguments": list(service.argv),
            "EnvironmentVariables": dict(service.environ),
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
        return plistlib.dumps(self._table["agent"] | own).decode()


def _changing(path: Path) -> AbstractContextManager[None]:
    """Within the block, say that a service's file cannot be written; its place is the manager's, and not our home."""
    return writing(path.parent, what=f"{path} cannot be written", hints={})


def _quoted(word: str) -> str:
    """Return a word as a unit takes it: systemd.syntax(7) "Quoting"; `%` and, in commands, `$` stand for others."""
    if any(ord(letter) < 32 for letter in word):
        raise InstallError("usage", f"{word[:40]!r} cannot stand in a service's file")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
