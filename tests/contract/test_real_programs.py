"""The stack on this machine with upstream's own programs, where CONTEXTCORE_TEST_PROGRAMS names their folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest

from contextcore_install.core.interfaces import HttpResponse
from contextcore_install.stack import provisioned
from contextcore_install.stack.catalogue import COMPONENTS
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.telemetry.exporters.metrics import round_trip
from contextcore_install.verification.requirements import VerificationTarget, verify
from contextcore_install.verification.results import Status
from kit.fakes import RealClock, Told
from kit.host_world import World
from kit.stores import wait_until

FOLDER = os.environ.get("CONTEXTCORE_TEST_PROGRAMS", "")
FOUND = {item.name: shutil.which(item.name, path=f"{FOLDER}:{FOLDER}/bin") for item in COMPONENTS if FOLDER}
LACKING = ", ".join(item.name for item in COMPONENTS if not FOUND.get(item.name))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"CONTEXTCORE_TEST_PROGRAMS names no folder with {LACKING}"),
]
SERVICE = "contextcore-contract"
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": SERVICE}}]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("machine"))
    for name, path in FOUND.items():
        (made.path / name).symlink_to(Path(path or "").resolve())
    try:
        made.install()
        yield made
    finally:
        made.close()


def url(world: World, key: str) -> str:
    return f"http://127.0.0.1:{world.ports[key]}"


def sent(world: World, signal: str, document: dict[str, Any]) -> None:
    """Send a document of OTLP to the collector."""
    target, headers = f"{url(world, 'alloy-http')}/v1/{signal}", {"Content-Type": "application/json"}
    answer = LoopbackHttp().ask("POST", target, 10, headers, json.dumps(document).encode())
    assert answer.status == 200, answer


def shown(address: str, **query: str) -> HttpResponse:
    return LoopbackHttp().get(f"{address}?{urlencode(query)}" if query else address, 10)


def test_every_requirement_is_met_and_none_is_skipped(world: World) -> None:
    def write_metric(store: str) -> str:
        return round_trip(store, "o11y-dev", RealClock().now_us())

    target = VerificationTarget(
        world.provider(),
        LoopbackHttp(),
        "o11y-dev",
        RealClock().now_us,
        spans_url=lambda: url(world, "alloy-http"),
        write_metric=write_metric,
        dashboards=provisioned.dashboard_uids(),
        rules=provisioned.rule_uids(),
        visible_within_s=30.0,
    )
    results = {item.id: item for item in verify(target, 120) if item.id != "private_files"}
    assert {name: item.probe for name, item in results.items() if item.status is not Status.MET} == {}


def test_a_metric_goes_through_the_collector(world: World) -> None:
    name = f"contextcore_contract_{secrets.token_hex(4)}"
    point = {"timeUnixNano": str(time.time_ns()), "asDouble": 42.5}
    metric = {"name": name, "gauge": {"dataPoints": [point]}}
    sent(world, "metrics", {"resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [{"metrics": [metric]}]}]})
    query = f"{url(world, 'mimir')}/prometheus/api/v1/query"
    wait_until(lambda: "42.5" in shown(query, query=name).text, "the metrics store does not show it")


def test_a_line_goes_through_the_collector(world: World) -> None:
    token = secrets.token_hex(8)
    line = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": f"contract {token}"}}
    sent(world, "logs", {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": [line]}]}]})
    query, selector = f"{url(world, 'loki')}/loki/api/v1/query_range", f'{{service_name="{SERVICE}"}} |= "{token}"'
    wait_until(lambda: token in shown(query, query=selector).text, "the log store does not show it")


def test_a_span_goes_through_the_collector(world: World) -> None:
    trace, now = secrets.token_hex(16), time.time_ns()
    span: dict[str, Any] = {"traceId": trace, "spanId": secrets.token_hex(8), "name": "contract", "kind": 1}
    span |= {"startTimeUnixNano": str(now - 10**6), "endTimeUnixNano": str(now)}
    sent(world, "traces", {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [span]}]}]})
    wait_until(lambda: "contract" in shown(f"{url(world, 'tempo')}/api/traces/{trace}").text, "it is not shown")


def test_nothing_listens_elsewhere_and_all_of_it_fits_into_its_memory(world: World) -> None:
    listeners = world.provider().listeners()
    assert {item.owner for item in listeners} == {item.name for item in COMPONENTS}
    assert not [item for item in listeners if item.is_open]
    started = [psutil.Process(world.pid(item.name)) for item in COMPONENTS]
    processes = [each for process in started for each in (process, *process.children(recursive=True))]
    assert sum(each.memory_info().rss for each in processes) <= 1536 * 1024 * 1024


def test_a_component_that_was_killed_comes_back(world: World) -> None:
    provider = world.provider()
    for item in COMPONENTS:
        world.kill(item.name)
    provider.start_workloads(Told().ctx)
    assert all(workload.ready for workload in world.ready(provider))
