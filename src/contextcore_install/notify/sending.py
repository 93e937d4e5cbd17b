"""Sends a message to all contact points concurrently, within a time limit, and says why one did not accept it."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from logging.handlers import BufferingHandler
from urllib.parse import unquote

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError, own
from contextcore_install.core.redaction import HIDDEN, hide_secrets
from contextcore_install.core.threads import start
from contextcore_install.notify.contact_points import ContactPoint, open_contact_points
from contextcore_install.notify.messages import Message

_CONNECT_S, _ANSWER_S = 2.0, 4.0
_SHORTEST_SECRET = 4
TOO_LATE = "it did not answer in time"
# What apprise logs of a failure, and our words for it: its own may quote what is secret
_CAUSES = {
    r"error=(3\d\d)\b": "it redirects to another address (HTTP {0}), which is not followed: set that address instead",
    r"error=(\d{3})\b": "it answered HTTP {0}",
    r"timed? ?out": TOO_LATE,
    r"refused": "nothing listens there",
    r"resolve|name or service not known|nodename nor servname": "no such host is known",
    r"certificate": "its certificate is not trusted",
    r"unreachable|no route": "there is no way to it",
    r"reset|aborted|broken pipe": "it broke the connection",
    r"authenticat|login": "it did not accept the login",
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of a message at one contact point; `reason` is empty if it arrived."""

    name: str
    reason: str = ""


class Outbox:
    """Sends one message to all contact points. Making one early hides the second that importing the library takes."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls
        self._end = 0.0
        self._points = start(partial(_open, urls), "notify")
        self._reasons: list[Future[str]] = []

    def send(self, message: Message, limit_s: float) -> None:
        """Begin to send; what has not arrived after `limit_s` seconds is given up."""
        self._end = time.monotonic() + limit_s
        _bypass_proxies_for_loopback()
        self._reasons = [start(partial(self._deliver, message, at), "notify") for at in range(len(self._urls))]

    def receipts(self) -> list[Receipt]:
        """Wait until all are delivered or the time is over; return the results, in the order of the contact points.

        There are none if nothing was sent. Raises InstallError if the URLs are none.
        """
        if not self._reasons:
            return []
        wait(self._reasons, max(0.0, self._end - time.monotonic()))
        reasons = [reason.result() if reason.done() else TOO_LATE for reason in self._reasons]
        points = self._points.result() if self._points.done() else []
        names = [point.name for point in points] or [f"contact point {place}" for place, _ in enumerate(self._urls, 1)]
        return [Receipt(name, reason) for name, reason in zip(names, reasons, strict=False)]

    def _deliver(self, message: Message, place: int) -> str:
        """Send to one contact point, and return why it did not arrive; empty if it did."""
        point = self._points.result()[place]
        point.service.socket_connect_timeout = _CONNECT_S
        point.service.socket_read_timeout = _ANSWER_S
        point.service.redirects = False  # who was named gets the message, and nobody else
        with _apprise_log() as records:
            try:
                from apprise import NotifyType

                level = NotifyType(message.level)
                arrived, broke = point.service.notify(body=message.body, title=message.title, notify_type=level), []
            except Exception as error:  # noqa: BLE001 - a plugin's failure is reported, and fails nothing
                arrived, broke = False, [f"{type(error).__name__}: {error}"]
        return "" if arrived else _cause([*map(_words, records), *broke], point.url)


def _open(urls: Sequence[str]) -> list[ContactPoint]:
    try:
        return open_contact_points(urls)
    except InstallError as error:
        reason = error.message
    except (ImportError, OSError) as error:  # it asks for the working directory, which may be gone
        reason = f"the library that sends messages cannot be used: {error}"
    raise InstallError("contact-points-unusable", reason, hint=own("notify", "show"))


def _cause(lines: Sequence[str], url: str) -> str:
    for pattern, words in _CAUSES.items():
        for line in lines:
            if found := re.search(pattern, line, re.IGNORECASE):
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


@contextmanager
def _apprise_log() -> Iterator[list[logging.LogRecord]]:
    """Collect what apprise logs in this thread within the block: it reports a failure in its log alone."""
    logger, log, thread = logging.getLogger("apprise"), BufferingHandler(sys.maxsize), threading.get_ident()
    log.addFilter(lambda record: record.thread == thread)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(log)
    try:
        yield log.buffer
    finally:
        logger.removeHandler(log)


def _words(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a plugin's line whose values do not fit it
        return str(record.msg)


def _bypass_proxies_for_loopback() -> None:
    """Use no proxy for what is on this machine: the library requests reads the environment."""
    for name in ("no_proxy", "NO_PROXY"):
        already = os.environ.get(name) or os.environ.get(name.upper(), "")
        if already.strip() != "*":
            os.environ[name] = ",".join(filter(None, [already, "127.0.0.0/8", "localhost", "::1"]))
