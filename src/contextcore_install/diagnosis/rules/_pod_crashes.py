"""Why a container ends again and again, or is never started: by its last words."""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns
from contextcore_install.diagnosis.rules.pod_reasons import CRASH, DESCRIBE, LOG, OUT_OF_MEMORY, START

_CRASH = Rule(
    "crash-loop",
    "{workload} starts and ends again{code}: {last}",
    "Have its configuration put in place again; if it goes on, read its log: " + LOG,
    REPAIR,
    reasons=CRASH,
    risk=Risk.RESTARTS,
    automatic=True,
)
CRASHES: tuple[Rule, ...] = (
    Rule(
        "out-of-memory",
        "{workload} was killed: it needs more memory than its limit.",
        "Give it a higher memory limit in the manifests.",
        LOG,
        reasons=frozenset({OUT_OF_MEMORY}),
    ),
    replace(
        _CRASH,
        id="disk-full",
        remedy="Free some space on its volume or on the disk of its node; it is started again then.",
        command=DESCRIBE,
        reasons=CRASH | START,
        log=_patterns.NO_SPACE,
    ),
    Rule(
        "program-missing",
        "{workload} cannot start: its image has no {program}.",
        "Have its manifest put in place again; if it goes on, correct its command or its image.",
        REPAIR,
        log=r"exec: \"(?P<program>[^\"]+)\": (executable file not found|stat|is a directory|no such file)",
        reasons=CRASH | START,
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    replace(_CRASH, id="permission-denied", reasons=CRASH | START, log=_patterns.DENIED),
    replace(
        _CRASH,
        id="wrong-machine",
        sentence="{workload} cannot run: its image {image} is made for another kind of machine.",
        remedy="Have its manifest put in place again; if it goes on, use an image that is made for the nodes.",
        reasons=CRASH | START,
        log=_patterns.WRONG_MACHINE,
    ),
    replace(_CRASH, id="bad-config", log=_patterns.BAD_CONFIG),
    replace(
        _CRASH,
        id="container-refused",
        sentence="{workload} cannot start: its container cannot be made: {last}",
        reasons=START,
        code="crash-loop",
    ),
    _CRASH,
)
