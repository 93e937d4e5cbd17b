"""Making a bundle: what was collected, without secrets and names, bounded in size, a one-line diagnosis first.

A run that fails leaves one: what is there at once, and what the provider has in a few seconds.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contextcore_install import __version__
from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import second
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import KEPT_BYTES, READ_BYTES, Collector, Piece, Provider
from contextcore_install.core.redaction import Redaction
from contextcore_install.core.text import and_more
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.engine.outcome import RunResult
from contextcore_install.runtime.app import App
from contextcore_install.runtime.bundle.evidence import Collected, evidence_of, gather, known_secrets
from contextcore_install.storage.bundles import bundle_name, prune_bundles, write_bundle
from contextcore_install.storage.home import make_home, make_private
from contextcore_install.system.signals import ending_signals_apart
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.hints import Commands

if TYPE_CHECKING:
    from contextcore_install.runtime.session import Session

DIAGNOSIS, NOT_COLLECTED = "diagnosis.txt", "not-collected.txt"
REDACTED = (
    "Home paths, host and user names and secrets are hidden in it as far as they can be told: "
    "look at it before you send it."
)
NO_BUNDLE = "CONTEXTCORE_NO_BUNDLE"  # the environment variable that turns it off
FAILURE_S = 4.0  # seconds for collecting: somebody waits for the last words of the run
FAILURE_TEXT_BYTES, FAILURE_BYTES = (
    48 * 1024,
    1024 * 1024,
)  # kept at most: hiding secrets in a megabyte takes about a second
_MODES = frozenset({"install", "resume", "repair"})

Diagnosis = tuple[str, Sequence[str]]
"""What is wrong: in one line, and in the lines that follow it."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_./=@+-]+")


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """How long collecting may take, in seconds, and what is kept, in bytes: the end of texts, smaller documents."""

    quick_s: float
    slow_s: float
    text_bytes: int = KEPT_BYTES
    document_bytes: int = 2 * 1024 * 1024
    total_bytes: int = 12 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written."""

    path: Path
    bytes: int
    diagnosis: str
    members: tuple[str, ...]
    not_collected: tuple[str, ...]


def make_bundle(
    app: App,
    ctx: StepContext,
    evidence: Sequence[Collector],
    diagnose: Callable[[], Diagnosis],
    limits: BundleLimits,
    *,
    provider: Provider | None,
    target: Path | None = None,
) -> Bundle:
    """Collect, hide what is secret, and write it, into the cluster's folder unless `target` is given.

    `diagnose` is called when all was collected. Raises InstallError if it cannot be written, CancelledError.
    """
    secrets: list[str] = []

    def learn(_: StepContext) -> list[Piece]:
        secrets.extend(known_secrets(app, provider))
        return []

    wanted = [Collector("secrets to be hidden", learn), *evidence]
    _, *found = gather(wanted, ctx, app.clock, quick_s=limits.quick_s, slow_s=limits.slow_s)
    contents = _Contents(redaction(app, secrets), limits)
    for collected in sorted(found, key=lambda item: item.evidence.slow):  # what is slow stands last
        ctx.raise_if_cancelled()
        contents.take(collected)
    made_us, (line, more) = app.clock.now_us(), diagnose()
    line = contents.hidden.text(" ".join(line.split()))
    made = f"Made {second(made_us)} by contextcore-install {__version__} (`{app.settings.command}`)"
    members = contents.members(line, [*more, "", f"{made} about {app.settings.cluster}.", REDACTED])
    path = target or app.layout.bundles / bundle_name(app.settings.cluster, made_us)
    if target is None:
        make_home(app.home)
        make_private(app.layout.folder)
        make_private(app.layout.bundles)
    size = write_bundle(path, members, made_us)
    if target is None:
        prune_bundles(app.layout.bundles)
    return Bundle(path, size, line, tuple(name for name, _ in members), tuple(contents.not_collected))


def details(error: InstallError, commands: Commands) -> list[str]:
    """Return what was seen of an error and what to do about it, as lines."""
    lines = [f"Seen: {line}" for line in error.evidence.splitlines()[-60:] if line.strip()]
    return [*lines, *([f"Do: {commands.typed(error.hint)}"] if error.hint else [])]


def redaction(app: App, secrets: Iterable[str] = ()) -> Redaction:
    """Return what hides this user's and this machine's names, all that looks secret, and the secrets that are known."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = ""
    return Redaction(home=app.environ.get("HOME", ""), host=socket.gethostname(), user=user, secrets=secrets)


class _Contents:
    """The members of a bundle, in the order in which they are taken in."""

    def __init__(self, hidden: Redaction, limits: BundleLimits) -> None:
        self.hidden = hidden
        self._missing: dict[str, list[str]] = {}
        self._limits = limits
        self._left = limits.total_bytes
        self._members: dict[str, str] = {}

    @property
    def not_collected(self) -> list[str]:
        """What is not there, and why: what has the same reason, together."""
        return [self.hidden.text(f"{', '.join(names)}: {reason}") for reason, names in self._missing.items()]

    def take(self, collected: Collected) -> None:
        for piece, content in collected.pieces:
            name = self._name(piece)
            try:
                text = self._text(content) if isinstance(content, str) else self._document(content)
            except (InstallError, RecursionError) as error:
                self._note(name, str(error))
                continue
            if len(text) > self._left:
                self._note(name, "the bundle is full")
                continue
            self._left -= len(text)
            self._members[name] = text
        if collected.trouble:
            self._note(collected.evidence.name, collected.trouble)

    def members(self, line: str, more: Sequence[str]) -> list[tuple[str, str]]:
        if missing := self.not_collected:
            self._members[NOT_COLLECTED] = "".join(f"{item}\n" for item in missing)
        held = [f"  {name}" for name in self._members]
        head = "\n".join([line, self.hidden.text("\n".join(more)), "", "It holds:", *held, ""])
        return [(DIAGNOSIS, head), *self._members.items()]

    def _name(self, path: str) -> str:
        """Return a member's name: relative, and of letters that every system takes."""
        parts = _UNSAFE.sub("_", self.hidden.text(path)).split("/")
        return "/".join(part for part in parts if part not in ("", ".", ".."))

    def _text(self, content: str) -> str:
        most = self._limits.text_bytes
        with_margin = most + READ_BYTES - KEPT_BYTES
        text = self.hidden.text(content[-with_margin:])
        if len(text) <= most and len(content) <= with_margin:
            return text
        end = text[-most:]
        return f"[only the end]\n{end.partition(chr(10))[2] or end}"

    def _document(self, content: Any) -> str:
        limit = self._limits.document_bytes
        if len(json.dumps(content, default=str)) > limit:
            raise InstallError("too-large", f"it is larger than {limit // 1024} KiB")
        if isinstance(content, list):  # a line each, as in a journal
            lines = (json.dumps(self.hidden.document(item), ensure_ascii=False, default=str) for item in content)
            return "".join(f"{line}\n" for line in lines)
        return json.dumps(self.hidden.document(content), indent=1, ensure_ascii=False, default=str) + "\n"

    def _note(self, name: str, reason: str) -> None:
        self._missing.setdefault(self.hidden.text(" ".join(reason.split()))[:500], []).append(name)


def bundle_of_failure(session: Session, result: RunResult) -> str:
    """Write the bundle of a run that has failed, and return its path; nothing if it is not wanted."""
    if "preflight" in result.errors or session.mode not in _MODES or session.app.environ.get(NO_BUNDLE):
        return ""
    token = CancelToken()
    with ending_signals_apart(token.cancel, kill_all_children, token.note):
        return str(_make_of_failure(session, result, token).path)


def _make_of_failure(session: Session, result: RunResult, token: CancelToken) -> Bundle:
    app, provider = session.app, session.installation.provider

    def findings(_: StepContext) -> Iterator[Piece]:
        yield ("findings.json", {"failed": {step: error.as_document() for step, error in result.errors.items()}})

    def diagnosis() -> Diagnosis:
        step, error = next(iter(result.errors.items()))
        about = f"The run was {session.run_id}; `diagnose` collects more, and what the checks find now."
        line = f"{step} failed: {error.message.rstrip('.')}{and_more(result.errors)}."
        return line, [*details(error, app.commands), about]

    evidence = evidence_of(app, provider, findings, journal_bytes=2 * FAILURE_TEXT_BYTES, runs=1, slow=False)
    limits = BundleLimits(FAILURE_S, FAILURE_S, FAILURE_TEXT_BYTES, 4 * FAILURE_TEXT_BYTES, FAILURE_BYTES)
    ctx = Context("", token, lambda *_: None, app.clock, app.clock.monotonic() + FAILURE_S)
    return make_bundle(app, ctx, evidence, diagnosis, limits, provider=provider)
