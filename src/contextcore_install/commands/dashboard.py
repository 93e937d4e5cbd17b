"""dashboard: a local page with the installation's story, live. It only reads, and ends with Ctrl-C."""

from __future__ import annotations

import os
import threading

from contextcore_install.core.errors import ExitCode
from contextcore_install.core.text import ascii_json
from contextcore_install.runtime.app import App
from contextcore_install.storage.store import read_records
from contextcore_install.system.signals import ending_signals_apart

DASHBOARD_SCHEMA = "contextcore-install/dashboard/v1"


def run(app: App) -> int:
    from contextcore_install.runtime.page.feed import PageFeed
    from contextcore_install.system.page_server import PageServer, open_in_browser

    name = app.settings.cluster
    read_records(app.layout, name)  # raises if this program cannot read the records
    feed, ended = PageFeed(app), threading.Event()
    with ending_signals_apart(lambda _: ended.set(), lambda: None):
        server = PageServer(feed.respond, app.settings.arguments["page_port"])
        try:
            text = f"{server.url}\nThe page of {name}, for this machine only. Ctrl-C ends it."
            if app.json:
                text = ascii_json({"schema": DASHBOARD_SCHEMA, "cluster": name, "url": server.url, "pid": os.getpid()})
            app.stdout.write(text + "\n")
            app.stdout.flush()
            threading.Thread(target=feed.warm, name="page-warm", daemon=True).start()
            if app.settings.open and not open_in_browser(server.invitation, app.environ):
                app.stderr.write("note: there is no browser to open here; open the address above\n")
            ended.wait()
        finally:
            feed.end()
            server.close()
    if not app.json:
        app.stdout.write("\nThe page has ended; nothing was changed.\n")
    return ExitCode.DONE
