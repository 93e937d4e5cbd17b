"""Errors and findings by their cause, for commands that failed, services that are not ready, and machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.interfaces import HttpResponse
from contextcore_install.core.provider import Endpoint
from contextcore_install.diagnosis.diagnose import Diagnosis, Evidence, diagnose, explain, problem_of
from contextcore_install.diagnosis.rule import Subject

Facts = Mapping[str, str]


def engine_failure(lines: Sequence[str], facts: Facts, error: str = "") -> Diagnosis:
    """Return why a container engine failed; `error` is the code of the error if it could not even be asked."""
    return explain(Subject.ENGINE, Evidence("engine", lines, error=error, facts=facts))


def kind_failure(error: InstallError, lines: Sequence[str], facts: Facts) -> InstallError:
    """Return the error that says why kind failed; the given one if no rule matches."""
    evidence = Evidence("kind", lines, facts=facts)
    found = diagnose(Subject.ENGINE, evidence) or diagnose(Subject.KIND, evidence)
    return found.error() if found else error


def kubectl_failure(argv: str, lines: Sequence[str], facts: Facts) -> InstallError:
    return explain(Subject.KUBECTL, Evidence("kubectl", lines, facts={"again": argv, **facts, "argv": argv})).error()


def pull_failure(image: str, engine: str, error: InstallError, facts: Facts | None = None) -> InstallError:
    """Return the error that says why an image cannot be pulled; `facts` are those of the engine."""
    if error.code == "command-missing":
        return error
    known = {"trust": f"{engine} pull {image}", "restart": f"{engine} info", **(facts or {})}
    evidence = Evidence("pull", error.evidence.splitlines(), facts={**known, "image": image, "engine": engine})
    return explain(Subject.PULL, evidence).error()


def load_failure(lines: Sequence[str], facts: Facts) -> InstallError:
    """Return the error that says why an image cannot be loaded into nodes."""
    return explain(Subject.LOAD, Evidence("load", lines, facts=facts)).error()


def machine_findings(facts: Facts, *seen: str) -> tuple[Finding, ...]:
    """Return the finding for facts about this machine that are not as they should be, with what was seen."""
    problem = problem_of(Subject.MACHINE, Evidence("machine", seen, facts=facts))
    return (problem,) if problem else ()


def service_finding(endpoint: Endpoint, got: HttpResponse | InstallError) -> Finding:
    """Return the finding for a service that is not ready."""
    facts = {
        "title": endpoint.component,
        "url": endpoint.ready_url,
        "port": str(urlsplit(endpoint.base_url).port or "?"),
        "via": endpoint.via,
    }
    if isinstance(got, HttpResponse):
        evidence = Evidence(endpoint.component, http_status=got.status, http_text=got.text, facts=facts)
    else:
        lines = (got.message, *got.evidence.splitlines())
        evidence = Evidence(endpoint.component, lines, error=got.code, facts=facts)
    return explain(Subject.SERVICE, evidence).finding
