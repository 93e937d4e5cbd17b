"""What is worth a message about a run, and its words. Pure: facts in, a message or none out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.engine.outcome import Outcome

LONG_S = 600.0  # a success is reported after a run that took longer: nobody watched it to the end


class Level(StrEnum):
    """How severe it is, in apprise's words."""

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
    """How a run ended.

    `place` names the installation in titles, `took` is the duration in words, `took_over` the id of the run that had
    ended without a record of its end.
    """

    place: str
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
    """Return the message about a run; None if it is not worth one.

    A failure always is. A success is after a failure, after a run that ended without a record of its end, and if it
    took long. An interruption is not: who interrupted knows.
    """
    began = [f"The run {run.run_id} ({run.mode}) {run.outcome.value} after {run.took}."]
    if run.took_over:
        began.append(f"It took over the run {run.took_over}, which had ended without a word.")
    if run.outcome is Outcome.FAILED:
        for step, error in run.errors.items():
            began += [f"{step}: {error.message}", *what_to_do(error)]
        if run.next_command:
            began.append(f"To carry on: {run.next_command}")
        return message(run.place, "the run failed", began)
    if run.outcome is not Outcome.SUCCEEDED or not (run.failed_before or run.took_over or run.duration_s > LONG_S):
        return None
    return message(run.place, "works again" if run.failed_before else "the run has completed", began, Level.SUCCESS)


def failed_before(events: Iterable[Event], run_id: str) -> bool:
    """Tell whether the last run before this one that came to an end by itself had failed."""
    ends = [event.data.get("outcome") for event in events if event.kind is Kind.RUN_FINISHED and event.run_id != run_id]
    last = next((outcome for outcome in reversed(ends) if outcome in (Outcome.SUCCEEDED, Outcome.FAILED)), None)
    return last == Outcome.FAILED


def message(place: str, what: str, lines: Iterable[str], level: Level = Level.FAILURE) -> Message:
    return Message(f"{place}: {what}", "\n".join(lines), level)


def what_to_do(error: InstallError) -> list[str]:
    return [f"What to do: {error.hint}"] if error.hint else []
