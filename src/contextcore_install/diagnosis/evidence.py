"""What a diagnosis is made from, fit to be shown: no terminal codes, no secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: CSI and OSC sequences (ECMA-48) and lone control characters.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x08\x0b-\x1f\x7f]"
)
_SECRETS = (
    re.compile(
        r"(?i)((?:[\w-]*(?:password|passwd|secret|token|api[_-]?key|credential)s?)[\"']?\s*[:=]\s*)(\"[^\"]*\"|\S+)"
    ),
    re.compile(r"(?i)(\bauthorization[\"']?\s*[:=]\s*(?:basic|bearer)?\s*)(\S+)"),
    re.compile(r"(?i)(\b(?:basic|bearer)\s+)([A-Za-z0-9+/=._-]{8,})"),
    re.compile(r"(://[^/\s:@]*:)([^@\s/]+)(?=@)"),
)
#: Characters of one line that are shown.
LINE_LIMIT = 400


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a component.

    `exit_code` is negative for a signal and None where it is not known; `http_code` is the code of the InstallError of
    an HTTP request without an answer, `http_status` and `http_text` are what one with an answer gave. `facts` fill the
    placeholders of rules (such as `port`, `folder`, `log`, `command`).
    """

    component: str
    lines: Sequence[str] = ()
    exit_code: int | None = None
    http_code: str = ""
    http_status: int = 0
    http_text: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def clean(line: str) -> str:
    """Return a line without terminal codes and secrets, cut to `LINE_LIMIT` characters."""
    line = _CONTROL.sub("", line).strip()
    for pattern in _SECRETS:
        line = pattern.sub(r"\1[hidden]", line)
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"


def clean_lines(lines: Sequence[str], count: int) -> list[str]:
    """Return the last `count` lines, clean."""
    return [clean(line) for line in lines[-count:]]
