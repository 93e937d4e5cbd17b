"""Words that messages share, what a cluster may be called, and JSON that every reader takes.

A lone surrogate, half a character, is none of JSON's text (RFC 8259, section 8.2).
"""

from __future__ import annotations

import codecs
import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sized
    from typing import Any

IN_FILES = "contextcore-install-json"
"""The `errors` with which JSON text is encoded for files.

Python's escapes for bytes of file names that are not UTF-8 (PEP 383) stay readable as such; other lone surrogates,
which a file written by others may hold, become U+FFFD.
"""

_ESCAPES = r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>\\u[dD][89a-fA-F]..)|\\."


def is_cluster_name(name: str) -> bool:
    """Whether a cluster may have that name: a label of RFC 1123, section 2.1, as Kubernetes narrows it."""
    return re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name) is not None


def count(number: int, thing: str) -> str:
    """Return "1 step", "2 steps", "2 entries"."""
    things = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number} {thing if number == 1 else things}"


def and_more(items: Sized) -> str:
    """Return " (and 2 more)" for what is told of by its first alone; nothing if that is all."""
    return f" (and {len(items) - 1} more)" if len(items) > 1 else ""


def ascii_json(document: object, **options: Any) -> str:
    """Return a document as JSON in ASCII, with U+FFFD for lone surrogates."""
    text = json.dumps(document, default=str, **options)
    return re.sub(_ESCAPES, lambda found: "\\ufffd" if found["lone"] else found[0], text) if "\\ud" in text else text


def _encode_for_files(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    kept = (f"\\u{ord(c):04x}" if "\udc80" <= c <= "\udcff" else "\ufffd" for c in found)
    return "".join(kept).encode(), error.end


codecs.register_error(IN_FILES, _encode_for_files)
