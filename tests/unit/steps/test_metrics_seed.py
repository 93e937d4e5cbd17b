from __future__ import annotations

from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.steps.base import StepTools
from contextcore_install.steps.metrics_seed import MetricsSeed
from kit.fakes import FakeHttp, FakeProvider, Told


class Silent:
    """Telemetry whose store does not answer."""

    def backend(self) -> str:
        return "the store"

    def flush(self, _: object) -> int:
        raise InstallError("metrics-store-no-answer", "the metrics store does not answer", retryable=True)


@pytest.mark.parametrize("died", [True, False])
def test_a_store_that_dies_of_what_it_is_asked_for_is_told_with_its_cause(*, died: bool) -> None:
    provider = FakeProvider()
    provider.running.update(provider.components)
    if died:
        remedy = Remedy("put it aside", "./create-cluster.sh --repair --allow-data-loss --cluster demo")
        provider.broken["mimir"] = Finding("data-damaged", "its data is damaged", "EOF", remedy)
    telemetry: Any = Silent()
    nothing: Any = None
    step = MetricsSeed(StepTools(provider, FakeHttp(), telemetry, nothing, nothing, lambda _: []))
    with pytest.raises(InstallError) as raised:
        step.apply(Told().ctx)
    assert raised.value.code == ("data-damaged" if died else "metrics-store-no-answer")
    assert ("--allow-data-loss" in raised.value.hint) is died
    assert died or raised.value.hint == "tail mimir.log", "its log is named, in a command"
