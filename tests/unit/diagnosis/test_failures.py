"""The errors of commands that failed, by their cause."""

from __future__ import annotations

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.diagnosis.failures import engine_failure, kind_failure


def test_kinds_failures_are_told_by_their_cause_and_by_the_engines_before() -> None:
    failed = InstallError("command-failed", "it failed")
    exists = kind_failure(failed, ['node(s) already exist for a cluster with the name "demo"'], {})
    assert (exists.code, exists.retryable) == ("node-exists", True)
    said = ["ERROR: failed to create cluster", "Cannot connect to the Docker daemon at unix:///d.sock"]
    down = kind_failure(failed, said, {"start": "start it"})
    assert (down.code, down.hint, down.retryable) == ("engine-down", "start it", False)


def test_an_unknown_failure_stays_what_it_is() -> None:
    error = InstallError("command-failed", "it failed", "all that it said")
    assert kind_failure(error, ["something new"], {}) is error


@pytest.mark.parametrize(
    ("error", "code"), [("", "engine-error"), ("command-timeout", "engine-down"), ("command-missing", "engine-missing")]
)
def test_an_engine_that_does_not_answer_is_told_by_how_it_failed(error: str, code: str) -> None:
    assert engine_failure(["something new"], {"engine": "docker", "start": "s"}, error).finding.code == code
