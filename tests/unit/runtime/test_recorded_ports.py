"""Ports as settings record them, whoever wrote these."""

from __future__ import annotations

import pytest

from contextcore_install.runtime.selection import recorded_ports


@pytest.mark.parametrize("provider", [[], {}, None, 3, "nobody"])
def test_settings_of_no_provider_have_no_ports(provider: object) -> None:
    assert recorded_ports({"provider": provider, "ports": {"mimir": 9009}}) == {}


def test_those_of_a_provider_are_known() -> None:
    assert recorded_ports({"provider": "host", "ports": {"mimir": 19009}})["mimir"] == 19009
