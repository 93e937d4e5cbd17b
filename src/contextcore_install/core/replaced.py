"""Data that was replaced: a claim or folder of the same name that is another one than when it was seen last.

Every successful run notes what it sees for the first time. What was replaced is told until it is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.standing import Piece, Storage

ACCEPT = "./create-cluster.sh --repair --yes"
"""The command that notes the data that is there now as the data to watch over."""

REPLACED = "data-replaced"


def noted(known: Mapping[str, str], seen: Sequence[Storage], *, accepts: bool) -> dict[str, str]:
    """Return the ids to remember, by name: with `accepts` those that are there, else those known and what is new."""
    now = {piece.name: piece.id for storage in seen for piece in storage.pieces if piece.id}
    return now if accepts else {**now, **known}


def replaced(known: Mapping[str, str], seen: Sequence[Storage], backup: str = "") -> list[Finding]:
    """Return a warning for each piece of data that is another one than before; `backup` is the newest one's path."""
    return [
        _finding(storage.component, piece, backup)
        for storage, piece in _changed(known, seen)
        if piece.name in known
    ]


def _changed(known: Mapping[str, str], seen: Sequence[Storage]) -> Iterator[tuple[Storage, Piece]]:
    for storage in seen:
        for piece in storage.pieces:
            if known.get(piece.name) != piece.id:
                yield storage, piece


def _finding(component: str, piece: Piece, backup: str) -> Finding:
    when = f"made anew at {piece.since}" if piece.since else "emptied or replaced"
    text = f"The data of {component} is gone: {piece.name} was {when}, and holds what was written since."
    if backup:
        command = f"./create-cluster.sh restore {quote(backup)}"
        summary = f"Put the newest backup back; or accept the loss: {ACCEPT}"
    else:
        command, summary = ACCEPT, "There is no backup here. Accept the loss, and be told no more."
    return Finding(REPLACED, text, remedy=Remedy(summary, command), warning=True)
