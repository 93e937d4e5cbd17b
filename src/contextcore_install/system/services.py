"""Programs that the user's own service manager keeps running: systemd's user manager, or launchd.

A service is one file in the user's folder for them (systemd.unit(5) "User Unit Search Path"; launchd.plist(5)), written
as this user's alone, and what the manager is told about it. Everything can be repeated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Protocol

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import own
from contextcore_install.core.ports import StepContext
from contextcore_install.system.capture import Captured, capture
from contextcore_install.system.files import write_atomically

ANSWER_S, CHANGE_S = 10.0, 60.0
NO_RESTART = (1, 2, 3, 4, 130)
"""Exit codes after which starting again changes nothing: it gave up, or is not wanted as it was asked for."""


@dataclass(frozen=True, slots=True)
class Service:
    """What to keep running. `name` is unique among the user's services."""

    name: str
    description: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


class Manager(Protocol):
    """A service manager of the user's."""

    def path(self, name: str) -> Path:
        """Return where a service's file is, or would be."""
        ...

    def content(self, service: Service) -> str:
        """Return what the file holds."""
        ...

    def commands(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return what the manager is told when a service is installed."""
        ...

    def require(self) -> None:
        """Raise InstallError where there is no such manager, or it does not answer."""
        ...

    def install(self, service: Service, ctx: StepContext) -> bool:
        """Have it run now and from every login on; return whether anything had to be done. Raises InstallError."""
        ...

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """End it and take its file away; return whether there was one. Raises InstallError."""
        ...


def manager_of(environ: Mapping[str, str], platform: str = sys.platform) -> Manager:
    """Return the service manager of this kind of machine."""
    return Launchd(environ) if platform == "darwin" else SystemdUser(environ)


class _Files:
    """What both managers have in common: a file, and commands."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._home = Path(environ.get("HOME") or Path.home())

    def _write(self, path: Path, content: str) -> bool:
        try:
            if path.is_file() and path.read_text(encoding="utf-8") == content:
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise _unwritable(path, error) from error
        return True

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unwritable(path, error) from error
        return True

    def _ask(self, *argv: str, timeout_s: float = ANSWER_S, ctx: StepContext | None = None) -> Captured:
        return capture(argv, environ=self._environ, timeout_s=timeout_s, ctx=ctx)

    def _tell(self, argv: tuple[str, ...], ctx: StepContext) -> None:
        ctx.activity(" ".join(argv))
        done = self._ask(*argv, timeout_s=CHANGE_S, ctx=ctx)
        if done.exit_code != 0:
            raise InstallError(
                "service-manager", f"`{' '.join(argv)}` failed.", done.stderr.strip() or done.stdout.strip()
            )


class SystemdUser(_Files):
    """systemd's user manager, by systemctl(1)."""

    def path(self, name: str) -> Path:
        """Return the unit's file."""
        config = self._environ.get("XDG_CONFIG_HOME") or str(self._home / ".config")
        return Path(config) / "systemd" / "user" / f"{name}.service"

    def content(self, service: Service) -> str:
        """Return the unit (systemd.service(5), systemd.exec(5)).

        KillMode=process: what was started anew by the service belongs to the stack, and stays when the service ends.
        """
        environ = "".join(
            f"Environment={_systemd_quoted(f'{name}={value}', command=False)}\n"
            for name, value in sorted(service.environ.items())
        )
        command = " ".join(_systemd_quoted(word) for word in service.argv)
        return (
            f"[Unit]\nDescription={service.description.replace('%', '%%')}\n\n"
            f"[Service]\nType=simple\n{environ}ExecStart={command}\n"
            f"Restart=on-failure\nRestartSec=30\nRestartPreventExitStatus={' '.join(map(str, NO_RESTART))}\n"
            "SuccessExitStatus=130\nKillMode=process\nTimeoutStopSec=60\n\n"
            "[Install]\nWantedBy=default.target\n"
        )

    def commands(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return what systemd is told."""
        control = ("systemctl", "--user")
        return ((*control, "daemon-reload"), (*control, "enable", f"{name}.service"),
                (*control, "restart", f"{name}.service"))  # fmt: skip

    def require(self) -> None:
        """Raise InstallError where systemd's user manager does not answer, as in a container or over `su`."""
        try:
            done = self._ask("systemctl", "--user", "show-environment")
            evidence = "" if done.exit_code == 0 else done.stderr.strip() or f"exit code {done.exit_code}"
        except InstallError as error:
            evidence = error.message
        if evidence:
            raise InstallError(
                "no-service-manager",
                "systemd's user manager does not answer on this machine",
                evidence,
                f"log in as this user (not through su or sudo), or leave it running in a terminal: {own('watch')}",
            )

    def install(self, service: Service, ctx: StepContext) -> bool:
        """Write the unit, enable it, and start it (anew where it changed)."""
        self.require()
        changed = self._write(self.path(service.name), self.content(service))
        active = self._ask("systemctl", "--user", "is-active", "--quiet", f"{service.name}.service")
        if not changed and active.exit_code == 0:
            return False
        for argv in self.commands(service.name):
            self._tell(argv, ctx)
        return True

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """Disable and stop the unit, and remove it; where the manager does not answer, the file alone."""
        path = self.path(name)
        if not path.exists():
            return False
        with suppress(InstallError):
            self.require()
            self._tell(("systemctl", "--user", "disable", "--now", f"{name}.service"), ctx)
        self._remove(path)
        with suppress(InstallError):
            self._tell(("systemctl", "--user", "daemon-reload"), ctx)
        return True


class Launchd(_Files):
    """launchd's agents of this user, by launchctl(1)."""

    def path(self, name: str) -> Path:
        """Return the agent's property list."""
        return self._home / "Library" / "LaunchAgents" / f"{name}.plist"

    def content(self, service: Service) -> str:
        """Return the property list (launchd.plist(5)).

        AbandonProcessGroup: what was started anew by the agent belongs to the stack, and stays when the agent ends.
        """
        import plistlib

        log = self._home / "Library" / "Logs" / f"{service.name}.log"
        document = {
            "Label": service.name,
            "ProgramArguments": list(service.argv),
            "EnvironmentVariables": dict(service.environ),
            "RunAtLoad": True,
            # After a crash only: launchd knows no exit codes that mean "not again", so giving up is no crash to it.
            "KeepAlive": {"Crashed": True},
            "ThrottleInterval": 30,
            "AbandonProcessGroup": True,
            "ProcessType": "Background",
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
        return plistlib.dumps(document).decode()

    def commands(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return what launchd is told."""
        return (("launchctl", "bootstrap", self._domain, str(self.path(name))),)

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    def require(self) -> None:
        """Raise InstallError where the user has no session of his own for agents to run in, as over ssh."""
        done = self._ask("launchctl", "print", self._domain)
        if done.exit_code != 0:
            raise InstallError(
                "no-service-manager",
                "launchd has no session of this user",
                done.stderr.strip(),
                f"log in at the machine itself, or leave it running in a terminal: {own('watch')}",
            )

    def install(self, service: Service, ctx: StepContext) -> bool:
        """Write the agent and load it (anew where it changed)."""
        self.require()
        changed = self._write(self.path(service.name), self.content(service))
        loaded = self._is_loaded(service.name)
        if loaded and not changed:
            return False
        if loaded:
            self._ask("launchctl", "bootout", f"{self._domain}/{service.name}", timeout_s=CHANGE_S, ctx=ctx)
        for argv in self.commands(service.name):
            self._tell(argv, ctx)
        return True

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """Unload the agent and remove it."""
        if self.path(name).exists() and self._is_loaded(name):
            self._tell(("launchctl", "bootout", f"{self._domain}/{name}"), ctx)
        return self._remove(self.path(name))

    def _is_loaded(self, name: str) -> bool:
        try:
            return self._ask("launchctl", "print", f"{self._domain}/{name}").exit_code == 0
        except InstallError:
            return False


def _systemd_quoted(word: str, *, command: bool = True) -> str:
    """Return a word as a unit takes it: systemd.syntax(7) "Quoting"; `%` and, in a command, `$` stand for others."""
    if any(ord(letter) < 32 for letter in word):
        raise InstallError("usage", f"{word[:40]!r} cannot stand in a service's file")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped.replace("$", "$$") if command else escaped}"'


def _unwritable(path: Path, error: OSError) -> InstallError:
    reason = (error.strerror or str(error)).lower()
    return InstallError(
        "folder-unwritable", f"{path} cannot be written: {reason}", hint=f"ls -ld {quote(str(path.parent))}"
    )
