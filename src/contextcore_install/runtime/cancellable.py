"""Work outside of a run: reported line by line, and ended by Ctrl-C as a run is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contextcore_install.core.cancellation import CancelToken
from contextcore_install.core.errors import CancelledError
from contextcore_install.core.events import Kind
from contextcore_install.engine.context import Context
from contextcore_install.runtime.app import App
from contextcore_install.system.signals import ending_signals_apart
from contextcore_install.system.supervisor import kill_all_children
from contextcore_install.ui.text import sanitize


@contextmanager
def cancellable(app: App) -> Iterator[Context]:
    """Within the block, have a context that shows activities and notices, and which Ctrl-C ends: KeyboardInterrupt.

    Its time limit is `--timeout`.
    """
    token = CancelToken()

    def show(kind: Kind, _: str, data: dict[str, Any]) -> None:
        if app.json and kind is Kind.NOTICE:
            app.stderr.write(f"note: {sanitize(data['text'])}\n")
        elif kind in (Kind.ACTIVITY, Kind.NOTICE) and not app.json:
            app.stdout.write(f"  {sanitize(data['text'])}\n")
            app.stdout.flush()

    deadline = app.clock.monotonic() + app.settings.timeout_s
    try:
        with ending_signals_apart(token.cancel, kill_all_children, token.note):
            yield Context("", token, show, app.clock, deadline)
    except CancelledError as error:
        raise KeyboardInterrupt from error
