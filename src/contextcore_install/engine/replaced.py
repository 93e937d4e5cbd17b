"""Data that was replaced: a volume claim or data folder that was recreated since the last successful run.

Every successful run notes what it sees for the first time. A replacement is reported until it is accepted, and only one
that was shown before can be: a later one is another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import own
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.requirements import DataPiece, Storage

ACCEPT = own("--repair", "--yes")  # notes the data that is there now
REPLACED = "data-replaced"


@dataclass(frozen=True, slots=True)
class DataReplaced(Finding):
    """A warning that the piece of data `name` had the id `was` and has `now`, which is empty if there is none."""

    name: str = ""
    was: str = ""
    now: str = ""

    def covers(self, known: str, now: str) -> bool:
        """Whether this is the loss of `known` to `now`: data in an empty place means no further loss."""
        return self.was == known and self.now in ("", now)


def noted(known: Mapping[str, str], seen: Sequence[Storage], accepted: Collection[DataReplaced] = ()) -> dict[str, str]:
    """Return the ids to remember, by name: what is new, what is known, and instead of that what was accepted."""
    now = {piece.name: piece.id for storage in seen for piece in storage.pieces if piece.id}
    lost = {
        each.name for each in accepted if each.name in known and each.covers(known[each.name], now.get(each.name, ""))
    }
    return {**now, **{name: identity for name, identity in known.items() if name not in lost}}


def replaced(known: Mapping[str, str], seen: Sequence[Storage], backup: str = "") -> list[DataReplaced]:
    """Return a warning for each piece of data that is another one than before; `backup` is the newest one's path."""
    pieces = [(storage.component, piece) for storage in seen for piece in storage.pieces if piece.name in known]
    return [_finding(of, piece, known[piece.name], backup) for of, piece in pieces if known[piece.name] != piece.id]


def _finding(component: str, piece: DataPiece, was: str, backup: str) -> DataReplaced:
    when = f"made anew at {piece.since}" if piece.since else "emptied or replaced"
    text = f"The data of {component} is gone: {piece.name} was {when}, and holds what was written since."
    remedy = Remedy("There is no backup here. Accept the loss, and stop this warning.", ACCEPT)
    if backup:
        remedy = Remedy(f"Put the newest backup back; or accept the loss: {ACCEPT}", own("restore", backup))
    return DataReplaced(REPLACED, text, remedy=remedy, warning=True, name=piece.name, was=was, now=piece.id)
