"""The page as one HTML file: style, scripts and the document it is drawn from, and nothing from elsewhere."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from contextcore_install.ui.page.document import PAGE_SCHEMA

_SCRIPTS = ("elements", "words", "sections", "history", "app", "live")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def render(document: Mapping[str, Any], *, live: bool, footer: str) -> str:
    """Return the page. `live` says that a server stands behind it, which tells of what changes.

    `document` holds `now_us` and the `sections` of document.sections; a report also holds `runs` (details by run id).
    """
    head = document["sections"]["head"]
    cluster = str(head["cluster"])
    places = {
        "live": "yes" if live else "no",
        "policy": escape(policy()),
        "title": escape(f"{cluster} on {head['provider']}" if head["provider"] else cluster),
        "style": _asset("page.css"),
        "script": _script(),
        "summary": _summary(document["sections"]),
        "footer": escape(footer),
        "document": in_html({"schema": PAGE_SCHEMA, **document}),
    }
    return _PLACE.sub(lambda place: places[place[1]], _asset("page.html"))


@cache
def policy() -> str:
    """Return the Content-Security-Policy: our own style and scripts by their hashes, questions to our own server.

    CSP level 3, section 2.3.1: a hash is of what stands between the tags.
    """
    script, style = (
        f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (_script(), _asset("page.css"))
    )
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=str)


def in_html(value: object) -> str:
    """Return a value as JSON that ends no script element and begins no comment (HTML, section 4.12.1.3)."""
    return as_json(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script() -> str:
    """Return the scripts as one, with names of their own."""
    modules = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{modules}}})();\n'


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name("assets").joinpath(name).read_text(encoding="utf-8")


def _summary(sections: Mapping[str, Any]) -> str:
    """Return what a browser without scripts shows."""
    head = sections["head"]
    steps = ""
    for step in sections["steps"]:
        error = f" - {escape(str(step['error']))}" if step["error"] else ""
        steps += f"<li>{escape(str(step['title']))}: {escape(str(step['status']).replace('_', ' '))}{error}</li>"
    typed = "".join(f"<li><code>{escape(str(text))}</code> {escape(str(what))}</li>" for text, what in head["next"])
    return (
        f"<section><h2>{escape(str(head['headline']))}</h2><p>{escape(str(head['detail']))}</p>"
        f"<ol>{steps}</ol><p>Next:</p><ul>{typed}</ul><p>With scripts this page shows more.</p></section>"
    )
