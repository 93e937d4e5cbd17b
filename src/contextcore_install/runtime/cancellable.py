"""Work outside of a run: told line by line, ended by Ctrl-C as a run is, and alone with the installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import CancelledError
from contextcore_install.core.events import Kind
from contextcore_install.engine.context import Context
from contextcore_install.runtime import wiring
from contextcore_install.runtime.app import App
from contextcore_install.storage.home import make_home, make_private
from contextcore_install.storage.lock import Lock
from contextcore_install.system.signals import ending_signals_apart
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.text import sanitize


def take_lock(app: App) -> Lock:
    """Return the lock of this invocation's cluster; raises InstallError (exit code 5) where another run holds it."""
    make_home(app.home)
    make_private(app.layout.folder)
    return wiring.take_lock(app.layout)


@contextmanager
def at_work(app: App, limit_s: float = float("inf")) -> Iterator[Context]:
    """Within the block, have a context that shows activities and notices, and which Ctrl-C ends: KeyboardInterrupt.

    Its time limit is `--timeout`, and `limit_s` at most.
    """
    token = CancelToken()

    def tell(kind: Kind, _: str, data: dict[str, Any]) -> None:
        if app.json and kind is Kind.NOTICE:
            app.stderr.write(f"note: {sanitize(data['text'])}\n")
        elif kind in (Kind.ACTIVITY, Kind.NOTICE) and not app.json:
            app.stdout.write(f"  {sanitize(data['text'])}\n")
            app.stdout.flush()

    deadline = app.clock.monotonic() + min(app.settings.timeout_s, limit_s)
    try:
        with ending_signals_apart(token.cancel, kill_all_children, token.note):
            yield Context("", token, tell, app.clock, deadline)
    except CancelledError as error:
        raise KeyboardInterrupt from error
