"""The state file: the state on disk, with the journal offset that it reaches to.

A digest tells a file that this program wrote from one that was edited by hand or by a script. It guards against
mistakes, not against an attacker, so a CRC is enough and costs nothing at start-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from itertools import islice
from pathlib import Path
from zlib import crc32

from contextcore_install.core.dataclass import Any, asdict, dataclass
from contextcore_install.core.events import START, TRANSIENT, Event, JournalOffset, Kind
from contextcore_install.core.text import IN_FILES
from contextcore_install.engine.state import State, state_from_document
from contextcore_install.storage.files import json_encoder, parse_json, read_regular, write_atomically

_LINES_A_PIECE = 256
_END = b"\n}"
_encode = json_encoder(", ", ": ")


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as it was read. `ours` says that this program wrote it and nobody changed it since."""

    state: State
    offset: JournalOffset
    ours: bool


def load_state(path: Path) -> StoredState | None:
    """Return what the state file holds, or None if there is none.

    Raises StateFormatError (NewerSchemaError) or UnreadableFileError, both ValueErrors, and InstallError.
    """
    content = read_regular(path)
    if content is None:
        return None
    document = parse_json(content)
    state = state_from_document(document)
    digest = state.extra.pop("digest", None)
    offset = _offset(state.extra.pop("journal", None))
    head = {key: value for key, value in document.items() if key not in ("digest", "steps")}
    steps = document.get("steps", {}).items()
    pieces = _layout(head, (_field(step_id, step) for step_id, step in steps))
    checksum = reduce(lambda before, piece: crc32(piece, before), pieces, 0)
    return StoredState(state, offset, ours=digest == _digest(checksum))


class StateWriter:
    """Folds events into the state, and writes its file at a cost that depends on what changed and not on its size.

    `reached` tells how far into the journal the state reaches.
    """

    def __init__(self, path: Path, state: State, reached: Callable[[], JournalOffset]) -> None:
        self._path, self.state, self._reached = path, state, reached
        self._lines: dict[str, bytes] = {}
        self._changed: set[str] = set()
        self.dirty = False

    def handle(self, event: Event) -> None:
        if event.kind in TRANSIENT:
            return
        self.state.apply(event)
        self.dirty = True
        if event.kind is Kind.STATE_IMPORTED:
            self._lines.clear()
        elif event.step:
            self._changed.add(event.step)

    def save(self) -> None:
        if self.dirty:
            self.write()

    def write(self) -> None:
        """Replace the state file; raises InstallError."""
        steps = self.state.steps
        new = list(islice(steps, len(self._lines), None))  # steps come at the end, and none goes
        self._lines |= dict.fromkeys(new, b"")
        self._changed.update(new)
        for step_id in self._changed & steps.keys():
            self._lines[step_id] = _field(step_id, steps[step_id].as_document())
        self._changed.clear()
        pieces = _layout(self.state.head_document() | {"journal": asdict(self._reached())}, self._lines.values())
        # Losing the newest state file to a power cut is harmless: it is folded from the journal again.
        write_atomically(self._path, _with_digest(pieces), durable=False)
        self.dirty = False


def _layout(head: dict[str, Any], steps: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a document without its end, with a line a field and a line a step: for people, and to write it fast.

    It comes in pieces that fit into memory used before: with thousands of steps, allocating one text for all of them
    costs more than writing it.
    """
    fields = b",\n".join(b"  " + _field(key, value) for key, value in head.items())
    yield b"{\n" + fields + b',\n  "steps": {'
    lines, before = iter(steps), b"\n    "
    while piece := b",\n    ".join(islice(lines, _LINES_A_PIECE)):
        yield before + piece
        before = b",\n    "
    yield b"\n  }"


def _with_digest(pieces: Iterable[bytes]) -> Iterator[bytes]:
    checksum = 0
    for piece in pieces:
        checksum = crc32(piece, checksum)
        yield piece
    yield f',\n  "digest": "{_digest(checksum)}"\n}}\n'.encode()


def _field(name: str, value: object) -> bytes:
    return f"{_encode(name)}: {_encode(value)}".encode("utf-8", IN_FILES)


def _digest(checksum: int) -> str:
    return f"crc32:{crc32(_END, checksum):08x}"


def _offset(document: object) -> JournalOffset:
    found = document if isinstance(document, dict) else {}
    numbers = [found.get(name) for name in JournalOffset.__slots__]
    whole = [number for number in numbers if isinstance(number, int) and number >= 0]
    return JournalOffset(*whole) if len(whole) == len(numbers) else START
