"""The installation's story as a page: `dashboard` serves it here, live; `report` writes it to one file to hand on."""

from __future__ import annotations

import os
import threading
from typing import Any

from contextcore_install import __version__
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.events import second
from contextcore_install.core.text import ascii_json
from contextcore_install.runtime.app import App
from contextcore_install.storage.store import read_records
from contextcore_install.system.files import write_atomically
from contextcore_install.system.signals import ending_signals_apart

DASHBOARD_SCHEMA = "contextcore-install/dashboard/v1"
DETAILED_RUNS, MOST_ROWS = 5, 5_000  # of a report: the latest runs with their details, and lines of the history
WHERE_PATIENCE_S = 5.0  # how long a provider may take to tell what runs where; the report goes without it then


def dashboard(app: App) -> int:
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


def report(app: App) -> int:
    from contextcore_install.runtime.interaction import report_done
    from contextcore_install.runtime.output_file import chosen_file, is_standard_output, stamped_name

    hides = not app.settings.arguments["no_redact"]
    target = None if is_standard_output(app) else chosen_file(app, stamped_name(app, "report-", ".html"))
    if not hides:
        app.stderr.write("note: --no-redact: the report may hold names, paths and secrets of this machine\n")
    html = _html(app, hides=hides)
    if target is None:
        app.stdout.write(html)
        return ExitCode.DONE
    try:
        write_atomically(target, html)
    except OSError as error:
        reason = (error.strerror or os.strerror(error.errno or 0)).lower()
        message, hint = f"{target} cannot be written: {reason}", "choose another place with -o FILE"
        raise InstallError("report-unwritable", message, hint=hint) from error
    hidden = "home paths, host and user names and secrets are hidden" if hides else "nothing is hidden in it"
    return report_done(app, f"The report is in {target}; {hidden}.", file=str(target), redacted=hides)


def _html(app: App, *, hides: bool) -> str:
    from contextcore_install.ui.page.document import render

    document = _document(app, hides=hides)  # what it was read from is gone before it is written: a history is large
    made = f"A report of contextcore-install {__version__}, made {second(document['now_us'])}."
    hidden = " Home paths, host and user names and secrets are hidden." if hides else ""
    return render(document, live=False, footer=made + hidden)


def _document(app: App, *, hides: bool) -> dict[str, Any]:
    from concurrent.futures import wait

    from contextcore_install.core.threads import start
    from contextcore_install.runtime.bundle.bundle import redaction
    from contextcore_install.runtime.page.source import Endpoints, PageSource

    source = PageSource(app, redaction(app) if hides else None)
    source.look()
    where = start(Endpoints(app).look, "page-where")
    wait([where], WHERE_PATIENCE_S)
    if where.done() and not where.exception():  # a report is made of what went wrong, whatever else does
        source.where = where.result()
    sections = source.sections() | {"history": source.history(MOST_ROWS)}
    runs = {run_id: source.run(run_id) for run_id in source.latest_runs(DETAILED_RUNS)}
    return {"now_us": app.clock.now_us(), "sections": sections, "runs": runs}
