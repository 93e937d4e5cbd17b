"""The encoder of the records: it writes what the standard library's writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from contextcore_install.core.events import Kind
from contextcore_install.storage.files import json_encoder

PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
DOCUMENTS = [
    {"text": 'quoted " \\ \n \x00 é 漢 \ud800', "kind": Kind.NOTICE, "at": datetime(2026, 1, 1, tzinfo=UTC)},
    {"numbers": [0, -1, 2**70, 1.5, 1e300, True, False, None], "empty": [{}, [], ""], 1: (1, 2), None: True},
    "text",
    3,
]


def _undocumented_part_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(json.encoder, "c_make_encoder")


def _undocumented_part_takes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", lambda: None)


@pytest.mark.parametrize(
    "change", [lambda _: None, _undocumented_part_is_gone, _undocumented_part_takes_something_else]
)
def test_documents_are_encoded_as_by_the_standard_library(change: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as library:
        change(library)
        encode = json_encoder(",", ":")
    assert [encode(document) for document in DOCUMENTS] == [PLAIN.encode(document) for document in DOCUMENTS]
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"number": float("nan")})
