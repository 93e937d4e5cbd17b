"""What a diagnosis is made from, fit to be shown: no terminal codes, no secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.redaction import hide_secrets

# Patterns are compiled when they are first used: most diagnoses look at no lines.
# CSI and OSC sequences (ECMA-48) and lone control characters
_CONTROL = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x08\x0b-\x1f\x7f]"
# A frame of the stack that Go prints when a program panics (runtime/traceback.go): the cause is above
_STACK_FRAME = (
    r"goroutine \d+ .*\]:|\s*\S+\.go:\d+( \+0x[0-9a-f]+)?|[\w./()*\[\]-]+\.[\w.()*\[\]]+\(.*\)|created by \S+.*"
)
# Characters of one line that are shown, and that rules match: a chain of errors has its cause at the end
LINE_LIMIT, WHOLE_LINE = 400, 16_384
# Characters of a long line that are shown: its beginning, and around what a rule matches
_BEGINNING, _BEFORE, _BEHIND = 100, 180, 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a component.

    `lines` are the end of a log, or what a command printed; `exit_code` is negative for a signal, and None if unknown.
    `reason` and `message` are Kubernetes' word for a state and the sentence beside it. `error` is the code of the
    InstallError of what got no answer; `http_status` and `http_text` are an HTTP answer. `facts` fill the placeholders
    of rules (such as `port`, `folder`, `pod`), and are what conditions look at.
    """

    component: str
    lines: Sequence[str] = ()
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    error: str = ""
    http_status: int = 0
    http_text: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def clean(line: str) -> str:
    """Return a line without terminal codes and secrets; of one beyond `LINE_LIMIT`, its beginning and its end."""
    return shorten(_sanitized(line))


def shorten(line: str, cause: tuple[int, int] | None = None) -> str:
    """Return a clean line in `LINE_LIMIT` characters: its beginning, and the part around its cause, or its end."""
    if len(line) <= LINE_LIMIT:
        return line
    if cause is None:
        return f"{line[:_BEGINNING]}…{line[_BEGINNING + 1 - LINE_LIMIT :]}"
    start, end = max(0, cause[0] - _BEFORE), min(len(line), cause[0] + _BEHIND)
    beginning = f"{line[:_BEGINNING]}…" if start > _BEGINNING else line[:start]
    return beginning + line[start:end] + ("…" if end < len(line) else "")


def clean_lines(lines: Sequence[str], count: int) -> list[str]:
    """Return the last `count` lines, clean and long, without the stack of a program that panicked."""
    kept = [line for line in lines if not re.fullmatch(_STACK_FRAME, line.rstrip())]
    return [_sanitized(line)[:WHOLE_LINE] for line in kept[-count:]]


def _sanitized(line: str) -> str:
    # What is behind the cut is far from what is kept, so that no half of a secret is.
    return hide_secrets(re.sub(_CONTROL, "", line[: 4 * WHOLE_LINE]).strip())
