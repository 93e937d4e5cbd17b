"""The errors of commands that failed, told by their cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.diagnosis.diagnose import Diagnosis, diagnose, explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject


def engine_trouble(lines: Sequence[str], facts: Mapping[str, str], error: str = "") -> Diagnosis:
    """Say why a container engine does not do what it should; `error` is the code where it could not even be asked."""
    return explain(Subject.ENGINE, Evidence("engine", lines, error=error, facts=facts))


def kind_failure(error: InstallError, lines: Sequence[str], facts: Mapping[str, str]) -> InstallError:
    """Return the error that says why kind failed; the given one where no rule knows."""
    evidence = Evidence("kind", lines, facts=facts)
    found = diagnose(Subject.ENGINE, evidence) or diagnose(Subject.KIND, evidence)
    return found.error() if found else error


def kubectl_failure(argv: str, lines: Sequence[str], facts: Mapping[str, str]) -> InstallError:
    """Return the error that says why kubectl failed."""
    return explain(Subject.KUBECTL, Evidence("kubectl", lines, facts={"again": argv, **facts, "argv": argv})).error()


def pull_failure(image: str, engine: str, error: InstallError, facts: Mapping[str, str] | None = None) -> InstallError:
    """Return the error that says why an image cannot be pulled; `facts` are those of the engine."""
    if error.code == "command-missing":
        return error
    evidence = Evidence(
        "pull",
        error.evidence.splitlines(),
        facts={
            "trust": f"{engine} pull {image}",
            "restart": f"{engine} info",
            **(facts or {}),
            "image": image,
            "engine": engine,
        },
    )
    return explain(Subject.PULL, evidence).error()


def load_failure(lines: Sequence[str], facts: Mapping[str, str]) -> InstallError:
    """Return the error that says why an image cannot be loaded into nodes."""
    return explain(Subject.LOAD, Evidence("load", lines, facts=facts)).error()
