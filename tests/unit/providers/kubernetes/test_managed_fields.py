"""Whose fields are: also where the API says less than it should."""

from __future__ import annotations

from typing import Any

from contextcore_install.providers.kubernetes.managed_fields import REPLICAS, added_by_hand, decided_by
from contextcore_install.providers.kubernetes.objects import Manifest


def test_a_manager_without_a_name_decides_nothing_by_it() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    nameless = Manifest(metadata={"managedFields": [{"operation": "Update", "fieldsV1": fields}]})
    assert decided_by(nameless, REPLICAS) == ""
    assert list(added_by_hand(Manifest(spec={}), nameless)) == []
