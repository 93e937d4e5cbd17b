"""Programs that the user's own service manager keeps running: systemd's user manager, or launchd.

A service is one file in the user's folder for them (systemd.unit(5) "User Unit Search Path"; launchd.plist(5)), written
as this user's alone, and what the manager is told about it. Everything can be repeated.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import own
from contextcore_install.core.ports import StepContext
from contextcore_install.system.capture import Captured, capture
from contextcore_install.system.files import write_atomically

ANSWER_S, CHANGE_S = 10.0, 60.0
NO_RESTART = "1 2 3 4 130"
"""Exit codes after which starting again changes nothing: it gave up, or is not wanted as it was asked for."""

# KillMode=process: what was started anew by the service belongs to the stack, and stays when the service ends.
_UNIT = """\
[Unit]
Description={description}

[Service]
Type=simple
{environ}ExecStart={command}
Restart=on-failure
RestartSec=30
RestartPreventExitStatus={no_restart}
SuccessExitStatus=130
KillMode=process
TimeoutStopSec=60

[Install]
WantedBy=default.target
"""
_AGENT = {
    "RunAtLoad": True,
    # After a crash only: launchd knows no exit codes that mean "not again", so giving up is no crash to it.
    "KeepAlive": {"Crashed": True},
    "ThrottleInterval": 30,
    # What was started anew by the agent belongs to the stack, and stays when the agent ends.
    "AbandonProcessGroup": True,
    "ProcessType": "Background",
}


@dataclass(frozen=True, slots=True)
class Service:
    """What to keep running. `name` is unique among the user's services."""

    name: str
    description: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def manager_of(environ: Mapping[str, str], platform: str = sys.platform) -> Manager:
    """Return the service manager of this kind of machine."""
    return Launchd(environ) if platform == "darwin" else SystemdUser(environ)


class Manager(ABC):
    """A service manager of the user's. All that asks it raises InstallError."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._home = Path(environ.get("HOME") or Path.home())

    @abstractmethod
    def path(self, name: str) -> Path:
        """Return where a service's file is, or would be."""

    @abstractmethod
    def content(self, service: Service) -> str:
        """Return what the file holds."""

    @abstractmethod
    def commands(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return what the manager is told when a service is installed."""

    @abstractmethod
    def require(self) -> None:
        """Raise InstallError if there is no such manager, or it does not answer."""

    @abstractmethod
    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """End it and take its file away; return whether there was one."""

    @abstractmethod
    def _is_running(self, name: str) -> bool: ...

    def _unload(self, name: str) -> tuple[str, ...]:
        """Return the command that ends a service before it can be started with another file, if there is one."""
        return ()

    def install(self, service: Service, ctx: StepContext) -> bool:
        """Have it run now, with this file, and from every login on; return whether anything had to be done."""
        self.require()
        changed = self._write(self.path(service.name), self.content(service))
        if self._is_running(service.name):
            if not changed:
                return False
            if unload := self._unload(service.name):
                self._ask(*unload, timeout_s=CHANGE_S, ctx=ctx)
        for argv in self.commands(service.name):
            self._tell(argv, ctx)
        return True

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
        command = " ".join(argv)
        ctx.activity(command)
        done = self._ask(*argv, timeout_s=CHANGE_S, ctx=ctx)
        if done.exit_code != 0:
            raise InstallError("service-manager", f"`{command}` failed.", done.stderr.strip() or done.stdout.strip())


class SystemdUser(Manager):
    """systemd's user manager, by systemctl(1). It does not answer in a container or over `su`."""

    def path(self, name: str) -> Path:
        config = self._environ.get("XDG_CONFIG_HOME") or str(self._home / ".config")
        return Path(config) / "systemd" / "user" / f"{name}.service"

    def content(self, service: Service) -> str:
        """Return the unit (systemd.service(5), systemd.exec(5))."""
        variables = [_quoted(f"{name}={value}") for name, value in sorted(service.environ.items())]
        return _UNIT.format(
            description=service.description.replace("%", "%%"),
            environ="".join(f"Environment={variable}\n" for variable in variables),
            command=" ".join(_quoted(word).replace("$", "$$") for word in service.argv),
            no_restart=NO_RESTART,
        )

    def commands(self, name: str) -> tuple[tuple[str, ...], ...]:
        told = (("daemon-reload",), ("enable", f"{name}.service"), ("restart", f"{name}.service"))
        return tuple(("systemctl", "--user", *words) for words in told)

    def require(self) -> None:
        try:
            done = self._ask("systemctl", "--user", "show-environment")
            evidence = "" if done.exit_code == 0 else done.stderr.strip() or f"exit code {done.exit_code}"
        except InstallError as error:
            evidence = error.message
        if evidence:
            message = "systemd's user manager does not answer on this machine"
            raise _no_manager(message, evidence, "log in as this user (not through su or sudo)")

    def _is_running(self, name: str) -> bool:
        return self._ask("systemctl", "--user", "is-active", "--quiet", f"{name}.service").exit_code == 0

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """Disable and stop the unit, and remove it; if the manager does not answer, the file alone."""
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


class Launchd(Manager):
    """launchd's agents of this user, by launchctl(1). They need a session of the user's, which ssh gives none."""

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

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
        return plistlib.dumps(_AGENT | own).decode()

    def commands(self, name: str) -> tuple[tuple[str, ...], ...]:
        return (("launchctl", "bootstrap", self._domain, str(self.path(name))),)

    def require(self) -> None:
        done = self._ask("launchctl", "print", self._domain)
        if done.exit_code != 0:
            message = "launchd has no session of this user"
            raise _no_manager(message, done.stderr.strip(), "log in at the machine itself")

    def _is_running(self, name: str) -> bool:
        try:
            return self._ask("launchctl", "print", f"{self._domain}/{name}").exit_code == 0
        except InstallError:
            return False

    def _unload(self, name: str) -> tuple[str, ...]:
        return ("launchctl", "bootout", f"{self._domain}/{name}")

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        if self.path(name).exists() and self._is_running(name):
            self._tell(self._unload(name), ctx)
        return self._remove(self.path(name))


def _quoted(word: str) -> str:
    """Return a word as a unit takes it: systemd.syntax(7) "Quoting"; `%` and, in commands, `$` stand for others."""
    if any(ord(letter) < 32 for letter in word):
        raise InstallError("usage", f"{word[:40]!r} cannot stand in a service's file")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _no_manager(message: str, evidence: str, advice: str) -> InstallError:
    hint = f"{advice}, or leave it running in a terminal: {own('watch')}"
    return InstallError("no-service-manager", message, evidence, hint)


def _unwritable(path: Path, error: OSError) -> InstallError:
    reason = (error.strerror or str(error)).lower()
    hint = f"ls -ld {quote(str(path.parent))}"
    return InstallError("folder-unwritable", f"{path} cannot be written: {reason}", hint=hint)
