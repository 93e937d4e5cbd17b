"""notify: who is told how runs end. The URLs are secrets, and are never taken from the command line."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import ExitCode, InstallError, own, usage_error
from contextcore_install.core.text import count
from contextcore_install.notify.contact_points import (
    ENVIRONMENT,
    ContactPoint,
    can_send_to,
    open_contact_points,
    split_urls,
)
from contextcore_install.notify.messages import Level, message
from contextcore_install.notify.sending import Outbox
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import report_document
from contextcore_install.runtime.notifier import contact_urls, replace_contact_points, sending_limit_s
from contextcore_install.storage.files import UnreadableFileError, read_regular
from contextcore_install.storage.home import make_home

TRIAL_S = 20.0  # how long a trial may take, in seconds: somebody is watching, and a slow answer is better than none

HOW_TO_SET = f"write one URL a line into a file, then {own('notify', 'set', '--file', 'FILE')}"


def notify(app: App) -> int:
    arguments = app.settings.arguments
    action = arguments["action"]
    if arguments["urls"]:
        raise usage_error(
            "contact points are not taken from the command line, which every process on this machine can read",
            HOW_TO_SET,
        )
    return {"set": _set, "show": _show, "test": _test, "clear": _clear}[action](app)


def _set(app: App) -> ExitCode:
    points = open_contact_points(split_urls(_given(app)))
    if not points:
        raise usage_error("no contact point was given", HOW_TO_SET)
    make_home(app.home)
    withdrawn = replace_contact_points(app, [point.url for point in points])
    done = f"{count(len(points), 'contact point')} set"
    if any(can_send_to(point.url) for point in points):
        done += "; Grafana, if the stack has it, is updated by the next run"
    return _report(app, [f"{done}:", *_lines(points), *_in_grafana(withdrawn)], _documents(points))


def _given(app: App) -> str:
    path = app.settings.arguments["file"]
    if path is None:
        if app.stdin.isatty():
            app.stderr.write("Type one URL a line, then Ctrl-D:\n")
        return app.stdin.read()
    try:
        content = read_regular(Path(path))
    except UnreadableFileError as error:
        raise usage_error(f"--file {path} cannot be used: {error}") from None
    if content is None:
        raise usage_error(f"--file {path} is not there")
    return content.decode("utf-8", errors="replace")


def _show(app: App) -> ExitCode:
    points = open_contact_points(contact_urls(app))
    if not points:
        return _report(app, ["nobody is told how runs end: no contact point is set"], [])
    return _report(app, [f"From {_source(app)}:", *_lines(points)], _documents(points))


def _lines(points: Sequence[ContactPoint]) -> list[str]:
    who = {True: "this program, and alerts of Grafana if the stack has it", False: "this program only"}
    return [f"{place}. {point.name}: {who[can_send_to(point.url)]}" for place, point in enumerate(points, 1)]


def _documents(points: Sequence[ContactPoint]) -> list[dict[str, Any]]:
    return [{"name": point.name, "grafana": can_send_to(point.url)} for point in points]


def _test(app: App) -> ExitCode:
    urls = contact_urls(app)
    if not urls:
        raise InstallError("no-contact-points", "no contact point is set", hint=HOW_TO_SET)
    outbox = Outbox(urls)
    told, place = ["Messages about runs will arrive here."], f"contextcore-install on {platform.node()}"
    outbox.send(message(place, "a test", told, Level.SUCCESS), max(TRIAL_S, sending_limit_s(app)))
    receipts = outbox.receipts()
    lines = [f"{at}. {receipt.name}: {receipt.reason or 'arrived'}" for at, receipt in enumerate(receipts, 1)]
    documents = [{"name": r.name, "arrived": not r.reason, "reason": r.reason or None} for r in receipts]
    done = _report(app, lines, documents)
    return ExitCode.STEP_FAILED if any(receipt.reason for receipt in receipts) else done


def _clear(app: App) -> ExitCode:
    gone = app.home.contact_points.exists()
    withdrawn = replace_contact_points(app, [])
    still = f"; {ENVIRONMENT} still names some" if app.environ.get(ENVIRONMENT) else ""
    done = ("the contact points are forgotten" if gone else "no contact point was set") + still
    return _report(app, [done, *_in_grafana(withdrawn)], [])


def _in_grafana(clusters: Sequence[str]) -> list[str]:
    """Return what is still to be done if alerts of these may go to what no longer counts."""
    if not clusters:
        return []
    names = ", ".join(clusters)
    return [f"Alerts of Grafana, if the stack has it, go there until the next run on each cluster: {names}"]


def _source(app: App) -> str:
    return ENVIRONMENT if split_urls(app.environ.get(ENVIRONMENT, "")) else str(app.home.contact_points)


def _report(app: App, lines: Sequence[str], points: list[dict[str, Any]]) -> ExitCode:
    document = {"source": _source(app), "contact_points": points}
    return report_document(app, "notify/v1", document, lambda _: "\n".join(lines))
