"""What a provider tells of an installation, asked once and at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Endpoint, Overview, Provider, Requirement, Workload
from contextcore_install.core.requirements import Listener, Storage
from contextcore_install.verification.together import together

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class InstallationFacts:
    """Each as the provider told it, or the error that it raised."""

    requirements: Sequence[Requirement] | InstallError
    workloads: Sequence[Workload] | InstallError
    endpoints: Sequence[Endpoint] | InstallError
    overview: Overview | InstallError
    storage: Sequence[Storage] | InstallError
    listeners: Sequence[Listener] | InstallError
    password: str | InstallError | None

    def url(self, component: str) -> str | None:
        """Return where a component is reached; None where it is not."""
        for endpoint in known(self.endpoints, ()):
            if endpoint.component == component and endpoint.has_way:
                return endpoint.base_url
        return None

    def why_absent(self, component: str) -> str:
        """Return why a component is not reached."""
        if isinstance(self.endpoints, InstallError):
            return f"not known: {self.endpoints.message}"
        for absent in known(self.overview, Overview()).absent:
            if absent.component == component:
                return f"the stack goes without it: {absent.reason}"
        there = [endpoint for endpoint in self.endpoints if endpoint.component == component]
        if stranger := next((endpoint.stranger for endpoint in there if endpoint.stranger), ""):
            return f"what listens there is not of this installation: {stranger}"
        return "there is no way to it at the moment" if there else f"{component} is not part of what is installed"


def known(fact: Value | InstallError, otherwise: Value) -> Value:
    """Return a fact, or something else where it is not known."""
    return otherwise if isinstance(fact, InstallError) else fact


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
    return InstallationFacts(**together(asked, limit_s))
