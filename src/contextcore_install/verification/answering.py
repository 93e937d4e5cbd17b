"""Which endpoints answer now: one readiness request each, all at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import Http
from contextcore_install.core.provider import Endpoint
from contextcore_install.verification.together import together

ANSWER_S = 3.0
"""How long an endpoint may take, in seconds: it is on this machine, and somebody waits for the whole list."""


def answering(endpoints: Sequence[Endpoint], http: Http) -> list[tuple[Endpoint, bool]]:
    """Return each endpoint that can be reached at all, and whether it says that it is ready."""
    reachable = [endpoint for endpoint in endpoints if endpoint.has_way]
    asked = {endpoint.ready_url: partial(_is_ready, endpoint, http) for endpoint in reachable}
    answers = together(asked, ANSWER_S + 1)
    return [(endpoint, answers[endpoint.ready_url] is True) for endpoint in reachable]


def _is_ready(endpoint: Endpoint, http: Http) -> bool:
    try:
        return endpoint.is_ready(http.get(endpoint.ready_url, ANSWER_S).status)
    except InstallError:
        return False
