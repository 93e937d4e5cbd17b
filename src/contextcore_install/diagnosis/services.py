"""What it means that a service is not ready."""

from __future__ import annotations

from urllib.parse import urlsplit

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding
from contextcore_install.core.ports import HttpResponse
from contextcore_install.core.provider import Endpoint
from contextcore_install.diagnosis.diagnose import explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject


def explain_service(endpoint: Endpoint, got: HttpResponse | InstallError) -> Finding:
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
