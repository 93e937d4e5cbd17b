"""What a backup holds beside volumes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.runtime import backing_up
from kit.fakes import Told


def test_what_people_wrote_in_grafana_is_kept_in_utf_8_whatever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"dashboards": [{"title": "schön \udcff 😀"}]}
    monkeypatch.setattr("contextcore_install.runtime.grafana_objects.export", lambda *_: found)
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    provider: Any = SimpleNamespace(
        endpoints=lambda: [SimpleNamespace(component="grafana", is_reachable=True, base_url="http://there")],
        data=lambda: SimpleNamespace(password=lambda: "word"),
    )
    backing_up._stage_grafana(provider, tmp_path, Told().ctx)
    assert json.loads((tmp_path / "grafana" / "dashboards.json").read_bytes()) == found["dashboards"]
