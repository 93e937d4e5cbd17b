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
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system.files import write_atomically, writing
from contextcore_install.system.process import Captured, capture

ANSWER_S, CHANGE_S = 10.0, 60.0
Words = tuple[str, ...]

# RestartPreventExitStatus: exit codes after which starting again changes nothing: it gave up, or is not wanted so.
# KillMode=process: what the service has restarted belongs to the stack, and stays when the service ends.
_UNIT = """\
[Unit]
Description={description}

[Service]
Type=simple
{environ}ExecStart={command}
Restart=on-failure
RestartSec=30
RestartPreventExitStatus=1 2 3 4 130
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
    # What the agent has restarted belongs to the stack, and stays when the agent ends.
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
    return Launchd(environ) if platform == "darwin" else SystemdUser(environ)


class Manager(ABC):
    """A service manager of the user's, by the commands that it takes. All that asks it raises InstallError."""

    answers: Words
    """What it answers with exit code 0 if it is there."""
    is_running: Words
    load: tuple[Words, ...]
    unload: Words
    after_removal: Words = ()
    restarts = True
    """Whether `load` restarts a service that runs already."""
    absent: tuple[str, str]
    """What to say if it does not answer, and what to do."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._home = Path(environ.get("HOME") or Path.home())

    @abstractmethod
    def path(self, name: str) -> Path:
        """Return where a service's file is, or would be."""

    @abstractmethod
    def content(self, service: Service) -> str:
        """Return what the file holds."""

    def commands(self, name: str) -> tuple[Words, ...]:
        """Return what the manager is told when a service is installed."""
        return tuple(self._filled(words, name) for words in self.load)

    def require(self) -> None:
        """Raise InstallError if there is no such manager, or it does not answer."""
        try:
            done = self._ask(self.answers)
            evidence = "" if done.exit_code == 0 else done.stderr.strip() or f"exit code {done.exit_code}"
        except InstallError as error:
            evidence = error.message
        if evidence:
            hint = f"{self.absent[1]}, or leave it running in a terminal: {own('watch')}"
            raise InstallError("no-service-manager", self.absent[0], evidence, hint)

    def install(self, service: Service, ctx: StepContext) -> bool:
        """Have it run now, with this file, and from every login on; return whether anything had to be done."""
        self.require()
        path, content = self.path(service.name), self.content(service)
        with writing(path.parent):
            changed = not path.is_file() or path.read_text(encoding="utf-8") != content
            if changed:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
        if self._runs(service.name):
            if not changed:
                return False
            if not self.restarts:
                self._ask(self._filled(self.unload, service.name), CHANGE_S, ctx)
        for argv in self.commands(service.name):
            self._tell(argv, ctx)
        return True

    def uninstall(self, name: str, ctx: StepContext) -> bool:
        """End it and remove its file, the file alone if the manager does not answer; return whether there was one."""
        path = self.path(name)
        if not path.exists():
            return False
        try:
            self._tell(self._filled(self.unload, name), ctx)
        except InstallError:  # if it does not run, or the manager does not answer, its file is all there is
            if self._runs(name):
                raise
        with writing(path.parent):
            path.unlink()
        if self.after_removal:
            with suppress(InstallError):
                self._tell(self.after_removal, ctx)
        return True

    def _runs(self, name: str) -> bool:
        try:
            return self._ask(self._filled(self.is_running, name)).exit_code == 0
        except InstallError:
            return False

    def _filled(self, words: Words, name: str) -> Words:
        return tuple(word.format(name=name, path=self.path(name)) for word in words)

    def _ask(self, argv: Words, timeout_s: float = ANSWER_S, ctx: StepContext | None = None) -> Captured:
        return capture(argv, environ=self._environ, timeout_s=timeout_s, ctx=ctx)

    def _tell(self, argv: Words, ctx: StepContext) -> None:
        command = " ".join(argv)
        ctx.activity(command)
        done = self._ask(argv, CHANGE_S, ctx)
        if done.exit_code != 0:
            raise InstallError("service-manager", f"`{command}` failed.", done.stderr.strip() or done.stdout.strip())


class SystemdUser(Manager):
    """systemd's user manager, by systemctl(1). It does not answer in a container or over `su`."""

    _CONTROL = ("systemctl", "--user")
    answers = (*_CONTROL, "show-environment")
    is_running = (*_CONTROL, "is-active", "--quiet", "{name}.service")
    unload = (*_CONTROL, "disable", "--now", "{name}.service")
    after_removal = (*_CONTROL, "daemon-reload")
    load = (after_removal, (*_CONTROL, "enable", "{name}.service"), (*_CONTROL, "restart", "{name}.service"))
    absent = ("systemd's user manager does not answer on this machine", "log in as this user (not through su or sudo)")

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
        )


class Launchd(Manager):
    """launchd's agents of this user, by launchctl(1). They need a session of the user's, which ssh gives none."""

    _DOMAIN = f"gui/{os.getuid()}"
    answers = ("launchctl", "print", _DOMAIN)
    is_running = ("launchctl", "print", f"{_DOMAIN}/{{name}}")
    load = (("launchctl", "bootstrap", _DOMAIN, "{path}"),)
    unload = ("launchctl", "bootout", f"{_DOMAIN}/{{name}}")
    restarts = False
    absent = ("launchd has no session of this user", "log in at the machine itself")

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


def _quoted(word: str) -> str:
    """Return a word as a unit takes it: systemd.syntax(7) "Quoting"; `%` and, in commands, `$` stand for others."""
    if any(ord(letter) < 32 for letter in word):
        raise InstallError("usage", f"{word[:40]!r} cannot stand in a service's file")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
