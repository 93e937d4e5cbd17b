"""Why a pod that runs does not get ready: what the kubelet says of its probes."""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules.pod_reasons import NEVER_READY

_UNREADY = Rule(
    "never-ready",
    "{workload} runs and does not get ready: its readiness probe fails, or what it depends on.",
    "Start it anew, once.",
    REPAIR,
    reasons=frozenset({NEVER_READY}),
    code="never-ready",
    risk=Risk.RESTARTS,
    automatic=True,
)
PROBES: tuple[Rule, ...] = (
    replace(
        _UNREADY,
        id="probe-refused",
        sentence="{workload} runs and does not get ready: nothing in it listens where its {probe} probe asks.",
        message=r"(?P<probe>readiness|liveness|startup) probe failed: .*connection refused",
    ),
    replace(
        _UNREADY,
        id="probe-silent",
        sentence="{workload} runs and does not get ready: it gives its {probe} probe no answer in time.",
        message=r"(?P<probe>readiness|liveness|startup) probe failed: "
        r".*(deadline exceeded|timeout|timed out|awaiting headers)",
    ),
    replace(
        _UNREADY,
        id="probe-status",
        sentence="{workload} runs and does not get ready: its {probe} probe is answered with HTTP {answer}.",
        message=r"(?P<probe>readiness|liveness|startup) probe failed: .*statuscode: (?P<answer>\d+)",
    ),
    _UNREADY,
)
