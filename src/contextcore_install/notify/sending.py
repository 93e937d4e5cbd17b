"""Sends a message to every contact point at the same time, within a limit, and says why one did not take it."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import own
from contextcore_install.core.redaction import HIDDEN, hide_secrets
from contextcore_install.notify.contact_points import ContactPoint, open_contact_points
from contextcore_install.notify.messages import Message

_CONNECT_S, _ANSWER_S = 2.0, 4.0
_SHORTEST_SECRET = 4

TOO_LATE = "it did not answer in time"

_CAUSES = (
    (
        re.compile(r"error=(3\d\d)\b"),
        "it redirects to another address (HTTP {0}), which is not followed: set that address instead",
    ),
    (re.compile(r"error=(\d{3})\b"), "it answered HTTP {0}"),
    (re.compile(r"(?i)timed? ?out"), TOO_LATE),
    (re.compile(r"(?i)refused"), "nothing listens there"),
    (re.compile(r"(?i)resolve|name or service not known|nodename nor servname"), "no such host is known"),
    (re.compile(r"(?i)certificate"), "its certificate is not trusted"),
    (re.compile(r"(?i)unreachable|no route"), "there is no way to it"),
    (re.compile(r"(?i)reset|aborted|broken pipe"), "it broke the connection"),
    (re.compile(r"(?i)authenticat|login"), "it did not accept the login"),
)
"""What apprise logs of a failure, and how we say it: its own words may quote what is secret."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a message at one contact point; `reason` is empty where it arrived."""

    name: str
    reason: str = ""

    @property
    def arrived(self) -> bool:
        """Whether the contact point took it."""
        return not self.reason


class Outbox:
    """Takes one message to all contact points. To make one early saves the second that the library takes to import."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._end = 0.0
        self._points: list[ContactPoint] = []
        self._receipts: dict[int, Receipt] = {}
        self._trouble = ""
        self._opening = _in_background(self._open)
        self._sending: threading.Thread | None = None

    def send(self, message: Message, limit_s: float) -> None:
        """Begin to send; what has not arrived after `limit_s` seconds is given up."""
        self._end = time.monotonic() + limit_s
        self._sending = _in_background(self._send, message)

    def receipts(self) -> list[Receipt]:
        """Wait until all took it or the time is over; return what came of it, in the order of the contact points.

        There are none where nothing was sent. Raises InstallError where the URLs are none.
        """
        if self._sending is None:
            return []
        self._sending.join(self._left)
        if self._trouble:
            raise InstallError("contact-points-unusable", self._trouble, hint=own("notify", "show"))
        unnamed = [f"contact point {place}" for place in range(1, len(self._urls) + 1)]
        names = [point.name for point in self._points] or unnamed
        done = dict(self._receipts)
        return [done.get(place, Receipt(name, TOO_LATE)) for place, name in enumerate(names)]

    @property
    def _left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def _open(self) -> None:
        try:
            self._points = open_contact_points(self._urls)
        except InstallError as error:
            self._trouble = error.message
        except (ImportError, OSError) as error:  # it asks for the working directory, which may be gone
            self._trouble = f"the library that sends messages cannot be used: {error}"

    def _send(self, message: Message) -> None:
        self._opening.join(self._left)
        _spare_loopback()
        threads = [_in_background(self._deliver, place, message) for place in range(len(self._points))]
        for thread in threads:
            thread.join(self._left)

    def _deliver(self, place: int, message: Message) -> None:
        point = self._points[place]
        self._receipts[place] = Receipt(point.name, _reason_against(point, message))


def _in_background(work: Callable[..., None], *arguments: object) -> threading.Thread:
    """Start a thread that does not keep the process: who hangs is left behind when time is over."""
    thread = threading.Thread(target=work, args=arguments, name="notify", daemon=True)
    thread.start()
    return thread


def _reason_against(point: ContactPoint, message: Message) -> str:
    """Send, and return why it did not arrive; empty where it did."""
    point.service.socket_connect_timeout = _CONNECT_S
    point.service.socket_read_timeout = _ANSWER_S
    point.service.redirects = False  # who was named gets the message, and nobody else
    with _heard() as lines:
        try:
            from apprise import NotifyType

            arrived = point.service.notify(
                body=message.body, title=message.title, notify_type=NotifyType(message.level)
            )
        except Exception as error:  # noqa: BLE001 - a plugin's failure is told, and fails nothing
            arrived = False
            lines.append(f"{type(error).__name__}: {error}")
    return "" if arrived else _cause(lines, point.url)


def _cause(lines: Sequence[str], url: str) -> str:
    for pattern, words in _CAUSES:
        for line in lines:
            if found := pattern.search(line):
                return words.format(*found.groups())
    said = without_url(lines[-1], url) if lines else "it did not say why"
    return f"it did not take it: {said}"


def without_url(text: str, url: str) -> str:
    """Return a text without any piece of a contact point's URL, as it stands there or decoded."""
    pieces = {piece for form in (url, unquote(url)) for piece in re.split(r"[/?&=@:#,\s]+", form)}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= _SHORTEST_SECRET:
            text = text.replace(piece, HIDDEN)
    return hide_secrets(" ".join(text.split()))[:200]


class _Listener(logging.Handler):
    """Keeps what one thread logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Within the block, hear what apprise says in this thread: it tells of a failure by its log alone."""
    logger, listener = logging.getLogger("apprise"), _Listener()
    logger.setLevel(logging.DEBUG)
    logger.addHandler(listener)
    try:
        yield listener.lines
    finally:
        logger.removeHandler(listener)


def _spare_loopback() -> None:
    """Have no proxy asked for what is on this machine: requests goes by the environment."""
    for name in ("no_proxy", "NO_PROXY"):
        already = os.environ.get(name) or os.environ.get(name.upper(), "")
        if already.strip() != "*":
            os.environ[name] = ",".join(filter(None, [already, "127.0.0.0/8", "localhost", "::1"]))
