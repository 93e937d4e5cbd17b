"""What the samples of installations say, as PromQL: written once, for panels and alert rules alike.

docs/reference/metrics.md describes the metrics. Samples come when something happens, so every expression looks back
for the last one.
"""

from __future__ import annotations

from contextcore_install.core.dataclass import dataclass

PREFIX = "contextcore_install_"

DEAD_AFTER_S = 60
"""A run whose last heartbeat is older, in seconds, is dead: it sends one every 15 s, and a batch may be late."""

IN_PROGRESS, COMPLETED, FAILED = 1, 2, 3
INTERRUPTED = 4
"""No value of the metric: what panels make of a step that is in progress in a run which is not alive."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """Expressions about the clusters that a matcher picks. `look_back` is how old a sample may be, as PromQL has it."""

    matcher: str
    look_back: str

    def series(self, name: str, **labels: str) -> str:
        """Return a selector of all samples within the look-back."""
        matchers = [self.matcher, *(f'{label}="{value}"' for label, value in labels.items())]
        return f"{PREFIX}{name}{{{','.join(filter(None, matchers))}}}[{self.look_back}]"

    def last(self, name: str, **labels: str) -> str:
        """Return the last value of each series."""
        return f"last_over_time({self.series(name, **labels)})"

    @property
    def ended(self) -> str:
        """When the latest run ended, for clusters whose latest run has."""
        return f"({self.last('finished_timestamp')} >= {self.last('started_timestamp')})"

    @property
    def silence(self) -> str:
        """Seconds since the last heartbeat, for clusters whose latest run has not ended."""
        return f"((time() - {self.last('heartbeat_timestamp')}) unless {self.ended})"

    @property
    def alive(self) -> str:
        """Seconds since the last heartbeat, for clusters where a run is at work."""
        return f"({self.silence} <= {DEAD_AFTER_S})"

    def at_work(self, **labels: str) -> str:
        """Return 1 for each step that a living run works at."""
        status = self.last("step_status", **labels)
        return f"({status} == {IN_PROGRESS} and on (cluster) {self.alive})"

    def status(self, **labels: str) -> str:
        """Return each step's status; INTERRUPTED where it would be in progress and its run is not alive.

        Aggregated, as the series would else change its name with its status, and be drawn as two.
        """
        status = self.last("step_status", **labels)
        interrupted = f"{status} + {INTERRUPTED - IN_PROGRESS}"
        alternatives = f"{status} != {IN_PROGRESS} or {self.at_work(**labels)} or {interrupted}"
        return f"max by (cluster, step) ({alternatives})"

    @property
    def unfinished(self) -> str:
        """The status of the steps that are at work, or were when their run was cut off."""
        status = self.last("step_status")
        interrupted = f"({status} == {IN_PROGRESS}) + {INTERRUPTED - IN_PROGRESS}"
        return f"max by (cluster, step) ({self.at_work()} or {interrupted})"

    @property
    def failed_steps(self) -> str:
        """How many steps have failed: 0 where none has."""
        return f"sum by (cluster) ({self.last('step_status')} == bool {FAILED})"

    @property
    def run_seconds(self) -> str:
        """How long the latest run took: until it ended, until now, or until the last sign of life."""
        heartbeat = self.last("heartbeat_timestamp")
        now = f"({self.alive} + {heartbeat})"
        return f"({self.ended} or {now} or {heartbeat}) - {self.last('started_timestamp')}"

    def elapsed(self, **labels: str) -> str:
        """Return for how many seconds each step that is at work has been so."""
        started = self.last("step_started_timestamp", **labels)
        return f"(time() - {started} and on (cluster, step) {self.at_work(**labels)})"

    def step_seconds(self, **labels: str) -> str:
        """Return how long each step has been at work, or took when it was last."""
        took = self.last("step_duration_seconds", **labels)
        return f"max by (cluster, step) ({self.elapsed(**labels)} or {took})"

    def earlier_seconds(self, **labels: str) -> str:
        """Return how long each step took on average before the time that `step_seconds` is of."""
        took = self.series("step_duration_seconds", **labels)
        all_but_last = f"(sum_over_time({took}) - last_over_time({took})) / (count_over_time({took}) - 1 > 0)"
        before_now = f"(avg_over_time({took}) and on (cluster, step) {self.at_work(**labels)})"
        return f"max by (cluster, step) ({before_now} or {all_but_last})"

    @property
    def measured(self) -> str:
        """How far each requirement was met that the latest verification measured; others are left out."""
        ratio, measured = self.last("requirement_status_ratio"), self.last("requirement_measured_timestamp")
        latest = f"({measured} >= on (cluster) group_left () {self.last('verification_timestamp')})"
        return f"({ratio} and on (cluster, requirement, category, critical) {latest})"

    @property
    def category_ratio(self) -> str:
        """How complete each category is, from 0 to 1."""
        return f"avg by (cluster, category) ({self.measured})"

    @property
    def unmet(self) -> str:
        """How far each requirement is met that is not fully."""
        return f"max by (cluster, category, requirement, critical) ({self.measured}) < 1"

    @property
    def verified_ago(self) -> str:
        """Seconds since the last verification that succeeded."""
        return f"time() - {self.last('verified_timestamp')}"

    @property
    def verification_failed(self) -> str:
        """1 where the latest verification failed, 0 where it succeeded."""
        ended = self.last("verification_timestamp")
        return f"{ended} > bool ({self.last('verified_timestamp')} or {ended} * 0)"
