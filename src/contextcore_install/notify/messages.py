"""What is worth a message, and its words. Pure: facts in, a message or none out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.outcome import Outcome

LONG_S = 600.0
"""A run that took longer than this many seconds tells when it has succeeded: nobody watched it to the end."""


class Level(StrEnum):
    """How grave it is, in apprise's words."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """What a contact point is sent."""

    title: str
    body: str
    level: Level


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How a run ended. `took` is its duration in words, `took_over` the id of the run that had ended without a word."""

    cluster: str
    provider: str
    host: str
    mode: str
    run_id: str
    outcome: Outcome
    duration_s: float
    took: str
    errors: Mapping[str, InstallError] = field(default_factory=dict)
    took_over: str = ""
    failed_before: bool = False
    next_command: str = ""


def message_about(run: RunFacts) -> Message | None:
    """Return what to tell of a run; None where it is no news.

    A failure always is. A success is after a failure, after a run that ended without a word, and where it took long.
    An interruption is not: who interrupted knows.
    """
    where = f"{run.cluster} on {run.provider} ({run.host})"
    if run.outcome is Outcome.FAILED:
        return Message(f"{where}: the run failed", "\n".join(_failure(run)), Level.FAILURE)
    if run.outcome is not Outcome.SUCCEEDED:
        return None
    if run.failed_before:
        title = f"{where}: works again"
    elif run.took_over or run.duration_s > LONG_S:
        title = f"{where}: the run has completed"
    else:
        return None
    return Message(title, "\n".join(_head(run, "succeeded")), Level.SUCCESS)


def _failure(run: RunFacts) -> Iterable[str]:
    yield from _head(run, "failed")
    for step, error in run.errors.items():
        yield f"{step}: {error.message}"
        if error.hint:
            yield f"What to do: {error.hint}"
    if run.next_command:
        yield f"To carry on: {run.next_command}"


def _head(run: RunFacts, ended: str) -> Iterable[str]:
    yield f"The run {run.run_id} ({run.mode}) {ended} after {run.took}."
    if run.took_over:
        yield f"It took over the run {run.took_over}, which had ended without a word."


def failed_before(events: Iterable[Event], run_id: str) -> bool:
    """Tell whether the last run before this one that came to an end by itself had failed."""
    outcomes = (
        event.data.get("outcome") for event in events if event.kind is Kind.RUN_FINISHED and event.run_id != run_id
    )
    ends = [outcome for outcome in outcomes if outcome in (Outcome.SUCCEEDED, Outcome.FAILED)]
    return bool(ends) and ends[-1] == Outcome.FAILED


def verification_failed(cluster: str, provider: str, host: str, problems: Iterable[str]) -> Message:
    """Return the message about a verification that found something wrong."""
    body = "\n".join(["Something is not as it should be:", *problems])
    return Message(f"{cluster} on {provider} ({host}): verify failed", body, Level.FAILURE)


def watch_healed(cluster: str, provider: str, host: str, problems: Iterable[str]) -> Message:
    """Return the message about what a watch has put right."""
    body = "\n".join(["What was wrong:", *problems])
    return Message(f"{cluster} on {provider} ({host}): healed by the watch", body, Level.WARNING)


def watch_gave_up(cluster: str, provider: str, host: str, error: InstallError, problems: Iterable[str]) -> Message:
    """Return the message about a watch that heals no more."""
    lines = [f"{error.message}.", *problems, f"What to do: {error.hint}"]
    return Message(f"{cluster} on {provider} ({host}): the watch has given up", "\n".join(lines), Level.FAILURE)


def trial(host: str) -> Message:
    """Return the message that tries a contact point out."""
    return Message(f"contextcore-install on {host}: a trial", "Messages about runs will arrive here.", Level.SUCCESS)


def could_not_run(cluster: str, host: str, mode: str, error: InstallError) -> Message:
    """Return the message about a run that could not begin, or whose record could not be kept."""
    body = "\n".join(
        [f"The run ({mode}) ended: {error.message}", *([f"What to do: {error.hint}"] if error.hint else [])]
    )
    return Message(f"{cluster} ({host}): the run failed", body, Level.FAILURE)
