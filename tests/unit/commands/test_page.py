"""The report is written whatever else goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.commands.page import report
from contextcore_install.runtime.page.source import Endpoints
from kit.installed_records import app, write_records


def test_a_report_goes_without_what_cannot_be_told_of_where_things_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_: Endpoints) -> None:
        raise ValueError("a bug of the provider")

    write_records(tmp_path)
    monkeypatch.setattr(Endpoints, "look", look)
    assert report(app(tmp_path, "report", "-o", str(tmp_path / "report.html"))) == 0
    assert "preflight" in (tmp_path / "report.html").read_text(encoding="utf-8")
