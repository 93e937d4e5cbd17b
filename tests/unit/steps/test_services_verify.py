from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from contextcore_install.core.findings import Finding
from contextcore_install.core.ports import Endpoint, HttpAnswer
from contextcore_install.steps.base import Surroundings
from contextcore_install.steps.services_verify import ServicesVerify
from fakes import FakeHttp, FakeProvider
from stores import QuietContext


class WayThatComesBack(FakeProvider):
    """A provider whose way to its only service does not stand the first time it is asked for."""

    def endpoints(self) -> Sequence[Endpoint]:
        port = 10_000 if self.calls.count("endpoints") else 0
        self._called("endpoints")
        return [Endpoint("mimir", f"http://127.0.0.1:{port}", "/ready")]


def test_a_way_that_stands_again_is_taken_while_services_are_waited_for() -> None:
    provider = WayThatComesBack()
    nothing: Any = None
    http = FakeHttp({"http://127.0.0.1:10000/ready": HttpAnswer(200, "ready")})
    step = ServicesVerify(
        Surroundings(
            provider, http, nothing, nothing, lambda endpoint, _: Finding("silent", endpoint.component)
        )
    )
    step.apply(cast("Any", QuietContext()))
    assert http.asked == ["http://127.0.0.1:0/ready", "http://127.0.0.1:10000/ready"]
