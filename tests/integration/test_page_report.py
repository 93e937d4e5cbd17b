"""The report: what is taken out of it, and what it never replaces."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.core.redaction import Redaction
from kit.installation import Installation
from kit.page_world import Story, failed, many

HOST = socket.gethostname()
SHOWN = "HOST" if len(HOST) > 2 else HOST
"""Shorter names are left: they would match anywhere."""


@pytest.fixture
def place(installation: Installation) -> Installation:
    """An installation whose last run failed, with names and secrets in what it told."""
    story = Story(installation.folder)
    failed(story)
    story.add(Kind.NOTICE, text=f"in {installation.folder}/x on {HOST}: --token sesame-1, password=sesame-2")
    story.log("cluster_create", "Authorization: Bearer sesame-3-and-more")
    return installation


def document(html: str) -> dict[str, Any]:
    found = re.search(r'id="document">(.*?)</script>', html, re.DOTALL)
    assert found
    told: dict[str, Any] = json.loads(found[1])
    return told


def test_a_report_is_one_private_file_without_names_and_secrets(place: Installation) -> None:
    file = place.folder / "report.html"
    done = place.run("report", "-o", str(file))
    html = file.read_text()

    assert (done.returncode, done.stderr) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "sesame" not in html
    assert str(place.folder) not in html
    assert f"in ~/x on {SHOWN}: --token <hidden>" in json.dumps(document(html)["sections"]["run"]["remarks"])
    assert document(html)["sections"]["head"]["headline"] == "Failed: Create the cluster"


def test_nothing_is_hidden_where_that_is_asked_for(place: Installation) -> None:
    done = place.run("report", "-o", "-", "--no-redact")

    assert "--no-redact" in done.stderr
    assert all(f"sesame-{number}" in done.stdout for number in (1, 2, 3))
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.endswith("</html>\n")


def test_what_is_there_is_replaced_only_with_consent(place: Installation) -> None:
    file = place.folder / "report.html"
    file.write_text("mine")
    refused = place.run("report", "-o", str(file))
    assert (refused.returncode, file.read_text()) == (2, "mine")
    assert "--yes" in refused.stderr

    assert place.run("report", "-o", str(file), "--yes").returncode == 0
    assert file.read_text().startswith("<!doctype")


def test_what_is_no_file_is_left_alone_even_with_consent(place: Installation) -> None:
    pipe, link = place.folder / "pipe", place.folder / "link"
    os.mkfifo(pipe)
    link.symlink_to(place.folder / "elsewhere")
    for target in (pipe, link):
        assert place.run("report", "-o", str(target), "--yes").returncode == 2
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("words", "code"), [(["-o", "/nowhere/report.html"], 1), (["-o", "-", "--output", "json"], 2), ([], 2)]
)
def test_a_report_that_cannot_be_made_is_one_sentence(place: Installation, words: list[str], code: int) -> None:
    done = place.run("report", *words)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_for_scripts_it_says_where_the_report_is(place: Installation) -> None:
    file = place.folder / "report.html"
    told = json.loads(place.run("report", "-o", str(file), "--output", "json").stdout)

    assert (told["file"], told["redacted"]) == (str(file), True)


def test_a_long_history_is_in_it_as_rows(tmp_path: Path) -> None:
    from contextcore_install.runtime.page.source import PageSource

    story = Story(tmp_path)
    many(story, 400)
    source = PageSource(story.app("report", "-o", "x"), Redaction())
    source.look()

    assert len(source.history(300)["rows"]) == 300
    assert source.history(300)["total"] == 400
