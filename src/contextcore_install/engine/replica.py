"""The installation's records in its own cluster: the port to them, and their format (docs/reference/state.md)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import instant, microseconds
from contextcore_install.core.text import IN_FILES
from contextcore_install.engine.state import State, state_from_document

FORMAT = 1
MOST_BYTES = 256 * 1024  # of the records in the cluster; Kubernetes allows a ConfigMap 1 MiB
CONFLICT, GONE = "remote-conflict", "remote-gone"  # InstallErrors of a `Slot` whose object was replaced, or removed
ABOUT, STATE, TAIL = "about.json", "state.json", "journal.jsonl"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The content of an object in the cluster, and its version."""

    content: Mapping[str, Any]
    version: str


class Slot(Protocol):
    """One object in the cluster, replaced only if nobody else replaced it since. All methods may raise InstallError."""

    def read(self) -> StoredObject | None: ...

    def write(self, content: Mapping[str, Any], version: str) -> str:
        """Replace the object of a version, or make it if the version is empty; return its new version.

        Raises InstallError with the code CONFLICT if there is another version, and GONE if there is none.
        """

    def remove(self) -> None: ...  # whatever it holds, and if there is one


@dataclass(frozen=True, slots=True)
class Remote:
    """The two objects: the records, and the lease on them. `place` names them for people."""

    place: str
    records: Slot
    lease: Slot
    is_read_with_checks: bool = False  # whether both are first read with what the provider's checks read anyway


@runtime_checkable
class HasRemoteRecords(Protocol):
    """A provider whose cluster can hold the installation's records; the others are on one machine anyway."""

    def remote(self) -> Remote: ...  # reads nothing yet


@dataclass(frozen=True, slots=True)
class RemoteRecords:
    """The records in a cluster: a state, and the end of the journal that it was made from.

    `events` and `at_us` are the number and time of that journal's last event; `tail` its newest lines. `writer` names
    the records' folder that it came from, `host` the machine, and `term` the lease's under which it was written.
    """

    state: State
    events: int
    at_us: int
    host: str
    writer: str
    tail: tuple[str, ...] = ()
    term: int = 0

    def pack(self) -> dict[str, str]:
        """Return a ConfigMap's data, with as much of the tail as fits; raises InstallError if the state does not."""
        state = _encode(self.state.as_document())
        about: dict[str, Any] = {"format": FORMAT, "cluster": self.state.cluster_name}
        about |= {"installation_id": self.state.installation_id, "writer": {"host": self.host, "id": self.writer}}
        about |= {"journal": {"events": self.events, "at": instant(self.at_us)}, "lease_term": self.term}
        about["digest"] = "crc32:00000000"
        room = MOST_BYTES - len(state.encode()) - len(_encode(about).encode())
        if room < 0:
            raise InstallError("remote-too-big", f"the state takes more than {MOST_BYTES // 1024} KiB")
        tail = "".join(newest_lines(self.tail, room))
        about["digest"] = _digest(state, tail)
        return {ABOUT: _encode(about), STATE: state, TAIL: tail}


def unpack(data: Mapping[str, Any]) -> RemoteRecords:
    """Return the records that a ConfigMap's data holds; raises ValueError."""
    try:
        about, state, tail = json.loads(data[ABOUT]), str(data[STATE]), str(data[TAIL])
        if about["format"] != FORMAT:
            raise ValueError(f"they have the format {str(about['format'])[:20]}, and this program reads {FORMAT}")
        if about["digest"] != _digest(state, tail):
            raise ValueError("they were changed by others, or are torn")
        return RemoteRecords(
            state_from_document(json.loads(state)),
            int(about["journal"]["events"]),
            microseconds(about["journal"]["at"]),
            str(about["writer"]["host"]),
            str(about["writer"]["id"]),
            tuple(tail.splitlines(keepends=True)),
            int(about["lease_term"]),
        )
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"they lack what they should hold ({type(error).__name__}: {error})") from None


def newest_lines(lines: Sequence[str], room: int) -> list[str]:
    """Return the newest lines that fit into so many bytes."""
    kept = []
    for line in reversed(lines):
        room -= len(line.encode())
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def last_change(state: State) -> int:
    """Return when a run last changed a state, in microseconds since 1970; 0 for never. Verifying changes nothing."""
    times = [state.run.started_at, state.run.finished_at, *(step.updated_at for step in state.steps.values())]
    return max((microseconds(text) for text in times if text), default=0)


def _encode(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", IN_FILES).decode()


def _digest(*texts: str) -> str:
    return f"crc32:{zlib.crc32(chr(0).join(texts).encode()):08x}"
