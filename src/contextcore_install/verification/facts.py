"""What a provider reports of an installation and its endpoints answer, all asked concurrently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import Http
from contextcore_install.core.provider import Endpoint, Overview, Provider, Requirement, Workload, url_of
from contextcore_install.core.requirements import Listener, Storage
from contextcore_install.core.threads import run_concurrently

ANSWER_S = 3.0  # an endpoint is on this machine, and somebody waits for the whole list


@dataclass(frozen=True, slots=True)
class InstallationFacts:
    """Each as the provider reported it, or the error that it raised."""

    requirements: Sequence[Requirement] | InstallError
    workloads: Sequence[Workload] | InstallError
    endpoints: Sequence[Endpoint] | InstallError
    overview: Overview | InstallError
    storage: Sequence[Storage] | InstallError
    listeners: Sequence[Listener] | InstallError
    password: str | InstallError | None

    @property
    def may_flap(self) -> bool:
        """Whether what answers may not do so a moment later, or the other way round: a node has just started."""
        return not isinstance(self.endpoints, InstallError) and any(each.steady_s for each in self.endpoints)

    def url(self, component: str) -> str | None:
        """Return where a component is reached; None if it is not."""
        endpoints = () if isinstance(self.endpoints, InstallError) else self.endpoints
        return url_of(endpoints, component)

    def is_wanted(self, component: str) -> bool:
        return isinstance(self.overview, InstallError) or component not in self.overview.not_chosen

    def why_absent(self, component: str) -> str:
        """Return why a component is not reached."""
        if isinstance(self.endpoints, InstallError):
            return f"not known: {self.endpoints.message}"
        for absent in () if isinstance(self.overview, InstallError) else self.overview.absent:
            if absent.component == component:
                return f"the stack goes without it: {absent.reason}"
        there = [endpoint for endpoint in self.endpoints if endpoint.component == component]
        if stranger := next((endpoint.stranger for endpoint in there if endpoint.stranger), ""):
            return f"what listens there is not of this installation: {stranger}"
        return "there is no way to it at the moment" if there else f"{component} is not part of what is installed"


def observe(provider: Provider, limit_s: float) -> InstallationFacts:
    """Ask for all facts; each that takes longer than the limit is an error."""
    asked: Mapping[str, Callable[[], Any]] = {
        "requirements": provider.requirements,
        "workloads": provider.workloads,
        "endpoints": provider.endpoints,
        "overview": provider.overview,
        "storage": provider.storage,
        "listeners": provider.listeners,
        "password": lambda: provider.data().password(),
    }
    return InstallationFacts(**run_concurrently(asked, limit_s))


def readiness(endpoints: Sequence[Endpoint], http: Http) -> list[tuple[Endpoint, bool]]:
    """Return each endpoint that can be reached at all, and whether it says that it is ready."""
    reachable = [endpoint for endpoint in endpoints if endpoint.is_reachable]
    asked = {endpoint.ready_url: partial(_is_ready, endpoint, http) for endpoint in reachable}
    answers = run_concurrently(asked, ANSWER_S + 1)
    return [(endpoint, answers[endpoint.ready_url] is True) for endpoint in reachable]


def _is_ready(endpoint: Endpoint, http: Http) -> bool:
    return endpoint.is_ready(http.get(endpoint.ready_url, ANSWER_S).status)
