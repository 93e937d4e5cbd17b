"""A small HTTP server for one reader on this machine, and the browser that it is opened in.

It serves loopback only, is read-only, and has an unguessable address.
"""

from __future__ import annotations

import hmac
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import ExitCode, InstallError

LOOPBACK = "127.0.0.1"
HOSTS = frozenset({LOOPBACK, "localhost"})
"""What a browser may call us. A page elsewhere whose name leads here (DNS rebinding) sends another name."""

MOST_CONNECTIONS = 48
SLOW_S = 20.0
"""How long a request may take to arrive, and an answer to be taken."""

INVITATION_S = 120.0

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class PageResponse:
    """What to send: a whole body, or a stream of pieces that ends when the iterator does."""

    body: str | Iterator[str] = ""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[str, Mapping[str, str]], PageResponse | None]
"""From a path below the secret folder and its query to an answer; None if there is nothing."""


class PageServer:
    """Serves what `respond` answers, from threads of its own, until `close`."""

    def __init__(self, respond: Respond, port: int = 0) -> None:
        """Listen on a port of loopback (0: any that is free); raises InstallError if it cannot be had."""
        self._token = secrets.token_urlsafe(24)
        self._invitation, self._invited_until = "", 0.0
        self._respond = respond
        try:
            self._server = _Server((LOOPBACK, port), type("Handler", (_Handler,), {"page": self}))
        except OSError as error:
            message = f"Port {port} of {LOOPBACK} cannot be had for the page: {(error.strerror or '').lower()}"
            hint = "choose another with --page-port, or leave it out"
            raise InstallError("page-port", message, hint=hint, exit_code=ExitCode.PREFLIGHT_FAILED) from error
        threading.Thread(target=self._server.serve_forever, args=(0.25,), name="page", daemon=True).start()

    @property
    def base(self) -> str:
        """The server's address, without the secret."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The page's address; whoever knows it can read the page."""
        return f"{self.base}/{self._token}/"

    def invitation(self) -> str:
        """Return an address that leads to the page once, soon: for a process's arguments, which others can see."""
        self._invitation = secrets.token_urlsafe(24)
        self._invited_until = time.monotonic() + INVITATION_S
        return f"{self.base}/open/{self._invitation}"

    def close(self, patience_s: float = 0.5) -> None:
        """Take no more requests, and give streams that are ending a moment to end."""
        self._server.shutdown()
        self._server.server_close()
        deadline = time.monotonic() + patience_s
        while self._server.connections and time.monotonic() < deadline:
            time.sleep(0.01)

    def answer(self, path: str) -> PageResponse | None:
        split = urlsplit(path)
        first, _, rest = split.path.lstrip("/").partition("/")
        if first == "open":
            return self._welcome(rest)
        if not hmac.compare_digest(first.encode(), self._token.encode()):
            return None
        return self._respond(rest, {name: found[-1] for name, found in parse_qs(split.query).items()})

    def _welcome(self, code: str) -> PageResponse | None:
        if not self._invitation or not hmac.compare_digest(code.encode(), self._invitation.encode()):
            return None
        self._invitation = ""
        if time.monotonic() > self._invited_until:
            return None
        return PageResponse(status=303, headers={"Location": f"/{self._token}/"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512  # if it is full, a reader's system waits a second before it tries again

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._counting = threading.Lock()
        self.connections: dict[Any, bool] = {}  # in the order of their coming, and whether each may still be dropped
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread.

        If there are too many, the one that has been silent longest makes room; if all of them are being answered, the
        new one is refused.
        """
        if len(self.connections) >= MOST_CONNECTIONS and not self._drop_silent():
            self.shutdown_request(request)
            return
        with self._counting:
            self.connections[request] = True
        super().process_request(request, client_address)

    def has_asked(self, request: Any) -> None:
        with self._counting:
            self.connections[request] = False

    def _drop_silent(self) -> bool:
        """End the connection that has been waited for longest; return whether there was one."""
        with self._counting:
            oldest = next((request for request, is_silent in self.connections.items() if is_silent), None)
            if oldest is None:
                return False
            self.connections[oldest] = False
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end, and leaves
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._counting:
                self.connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a reader that goes away is nothing new, and standard error belongs to the run."""


class _Handler(BaseHTTPRequestHandler):
    page: PageServer
    server: _Server
    timeout = SLOW_S
    server_version = "contextcore-install"
    sys_version = ""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        self.server.has_asked(self.connection)
        refused = self._refused()
        if refused:
            self._send(refused)
        return refused is None

    def do_GET(self) -> None:
        self._send(self.page.answer(self.path) or PageResponse("There is nothing here.\n", status=404))

    do_HEAD = do_GET  # noqa: N815 - its name upstream

    def _refused(self) -> PageResponse | None:
        if self.command not in ("GET", "HEAD"):
            return PageResponse("This page can only be read.\n", status=405, headers={"Allow": "GET, HEAD"})
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            name = None
        return None if name in HOSTS else PageResponse("This page answers on this machine only.\n", status=421)

    def _send(self, answer: PageResponse) -> None:
        self.close_connection = True
        body = answer.body
        pieces: Iterable[str] = [body] if isinstance(body, str) else body
        self.send_response(answer.status)
        headers = {**_HEADERS, **answer.headers, "Content-Type": answer.content_type, "Connection": "close"}
        if isinstance(body, str):
            headers["Content-Length"] = str(len(body.encode()))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in pieces:
                self.wfile.write(piece.encode())
                self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
        """Write nothing: the address holds the secret."""


def opener(environ: Mapping[str, str], platform: str = sys.platform) -> list[str] | None:
    """Return the command that opens an address put behind it; None if no browser can be shown.

    Without a display Python's webbrowser would start a text browser, in the terminal that is ours. On WSL the
    browser is Windows': wslview is its own way, explorer.exe is there on every Windows.
    """
    if environ.get("WSL_DISTRO_NAME"):
        for program in ("wslview", "explorer.exe"):
            if shutil.which(program, path=environ.get("PATH", "")):
                return [program]
    if platform == "darwin" or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        return [sys.executable, "-I", "-S", "-m", "webbrowser"]
    return None


def open_in_browser(invitation: Callable[[], str], environ: Mapping[str, str]) -> bool:
    """Have an address opened, and return whether there was a way to; never waits for the browser.

    What a browser says goes nowhere, and it lives on when we end. The address that `invitation` gives can
    be seen by all users of the machine.
    """
    command = opener(environ)
    if command is None:
        return False
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with suppress(OSError):
        subprocess.Popen([*command, invitation()], env=dict(environ), start_new_session=True, **streams)
        return True
    return False
