"""The lines of a run in a log."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core.events import Event, Kind
from contextcore_install.ui.console.plain import PlainConsole
from contextcore_install.ui.console.progress import Progress
from contextcore_install.ui.style import Style
from unit.ui.samples import TITLES, BrokenStream, EventMaker, FakeClock, dangerous, events, too_wide


class Log:
    """A console on a clock and a stream of its own."""

    def __init__(self, *, width: int = 100, verbose: bool = False, history: dict[str, list[float]] | None = None):
        self.clock = FakeClock()
        self.told = EventMaker(self.clock)
        self.stream = io.StringIO()
        self.console = PlainConsole(
            self.stream,
            Progress(TITLES, needs=dict(zip(TITLES, [(), *zip(TITLES)], strict=False)), history=lambda: history or {}),
            self.clock,
            style=Style(width),
            heading="o11y-dev on host, install",
            verbose=verbose,
        )

    def say(self, kind: Kind, step: str = "", **data: object) -> list[str]:
        """Tell an event and return the lines that it caused."""
        before = len(self.stream.getvalue())
        self.console.handle(self.told(kind, step, **data))
        return self.stream.getvalue()[before:].splitlines()


def test_a_run_reads_as_aligned_lines() -> None:
    log = Log()
    lines = [
        *log.say(Kind.RUN_STARTED, mode="install"),
        *log.say(Kind.STEP_CHECKING, "preflight"),
        *log.say(Kind.STEP_COMPLETED, "preflight", already=True, duration_seconds=0.8, summary="14 met"),
        *log.say(Kind.STEP_CHECKING, "cluster_create"),
        *log.say(Kind.STEP_STARTED, "cluster_create", attempt=1),
        *log.say(Kind.PART_STARTED, "cluster_create", part="boot the node"),
        *log.say(Kind.PART_FINISHED, "cluster_create", part="boot the node", outcome="completed", duration_seconds=9),
        *log.say(Kind.STEP_RETRYING, "cluster_create", delay_seconds=2, error={"message": "the node went away"}),
        *log.say(Kind.STEP_STARTED, "cluster_create", attempt=2),
        *log.say(Kind.STEP_COMPLETED, "cluster_create", duration_seconds=18, summary="one node"),
        *log.say(Kind.RUN_FINISHED, outcome="succeeded"),
    ]
    assert lines == [
        "12:00:00  o11y-dev on host, install  (times are UTC)",
        "12:00:00  [1/6] preflight        = up to date: 14 met",
        "12:00:00  [2/6] cluster_create   ▸ Create the cluster",
        "12:00:00  [2/6] cluster_create   • boot the node  9.0 s",
        "12:00:00  [2/6] cluster_create   ↻ trying again in 2.0 s: the node went away",
        "12:00:00  [2/6] cluster_create   ▸ Create the cluster (try 2)",
        "12:00:00  [2/6] cluster_create   ✓ done in 18 s: one node",
    ]


def test_a_run_in_which_nothing_had_to_be_done_leaves_no_line() -> None:
    for verbose, lines in ((False, 0), (True, 3)):
        log = Log(verbose=verbose)
        log.say(Kind.RUN_STARTED, mode="install")
        log.say(Kind.STEP_COMPLETED, "preflight", already=True, summary="14 met")
        log.say(Kind.STEP_COMPLETED, "cluster_create", already=True)
        log.say(Kind.RUN_FINISHED, outcome="succeeded")
        assert len(log.stream.getvalue().splitlines()) == lines


def test_a_finding_comes_with_the_command_to_type_whole_on_its_line() -> None:
    command = "sudo sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"
    lines = Log(width=80).say(
        Kind.FINDING,
        "preflight",
        code="inotify",
        message="too few files can be watched",
        evidence="8192",
        remedy={"summary": "raise the limit", "command": command, "risk": "harmless", "automatic": False},
    )
    assert lines[0].endswith("! too few files can be watched (8192)")
    assert lines[-1].strip() == f"→ {command}"


def test_a_finding_that_the_step_heals_itself_takes_one_line() -> None:
    remedy = {"summary": "create it", "command": "", "risk": "harmless", "automatic": True}
    lines = Log().say(Kind.FINDING, "cluster_create", message="there is no cluster", remedy=remedy)
    assert len(lines) == 1


def test_a_failure_comes_with_what_to_do() -> None:
    error = {"code": "crash", "message": "mimir keeps crashing", "hint": "kubectl logs mimir-0"}
    lines = Log().say(Kind.STEP_FAILED, "pods_ready", error=error, duration_seconds=70)
    assert lines[0].endswith("✗ failed after 1 min 10 s: mimir keeps crashing")
    assert lines[1].strip() == "→ kubectl logs mimir-0"


def test_no_five_seconds_pass_without_a_line_while_a_step_works() -> None:
    log = Log(history={step: [30.0] for step in TITLES})
    log.say(Kind.STEP_CHECKING, "preflight")
    log.say(Kind.STEP_STARTED, "preflight", attempt=1)
    silent, longest = 0.0, 0.0
    for tick in range(200):
        log.clock.seconds += 0.1
        silent += 0.1
        if tick == 33:
            log.say(Kind.ACTIVITY, "preflight", text="asking Docker")
        if tick % 20 == 7 and log.say(Kind.TICK, running=["preflight"]):
            longest, silent = max(longest, silent), 0.0
    assert 0 < longest < 5
    assert log.stream.getvalue().splitlines()[-1].endswith("asking Docker (about 3 min left)")


def test_a_part_that_its_step_may_do_without_is_no_failure_of_the_step() -> None:
    log = Log()
    log.say(Kind.STEP_STARTED, "preflight", attempt=1)
    log.say(Kind.PART_STARTED, "preflight", part="loki")
    said = log.say(Kind.PART_FINISHED, "preflight", part="loki", outcome="failed", duration_seconds=2)
    assert said == ["12:00:00  [1/6] preflight        ! loki: not done  2.0 s"]


def test_the_sign_of_life_names_the_parts_where_nothing_else_is_known() -> None:
    log = Log()
    log.say(Kind.STEP_STARTED, "pods_ready", attempt=1)
    log.say(Kind.PART_STARTED, "pods_ready", part="mimir")
    log.say(Kind.PART_STARTED, "pods_ready", part="loki")
    log.clock.seconds = 4
    assert log.say(Kind.TICK, running=["pods_ready"])[0].endswith("… 0:04  mimir, loki")


def test_a_run_gives_a_sign_of_life_between_steps_too() -> None:
    log = Log()
    log.clock.seconds = 7
    assert log.say(Kind.TICK, running=[]) == ["12:00:07  … 0:07  working"]


def test_what_commands_print_shows_only_when_it_is_asked_for() -> None:
    assert not Log().say(Kind.OUTPUT, "preflight", line="pulling")
    assert Log(verbose=True).say(Kind.OUTPUT, "preflight", line="10 %\r20 %\r")[0].endswith("| 20 %")


def test_what_was_verified_is_counted() -> None:
    requirements = [{"requirement": "a", "ratio": 1.0}, {"requirement": "b", "ratio": 0.5}]
    assert (
        Log().say(Kind.VERIFIED, "metrics_seed", requirements=requirements)[0].endswith("verified 1 of 2 requirements")
    )


def test_what_a_run_starts_from_is_told() -> None:
    log = Log()
    lines = [
        *log.say(Kind.STATE_IMPORTED, source="state file", changes=["preflight: pending -> completed"]),
        *log.say(Kind.RUN_STARTED, provider="host", provider_reason="no container engine answers"),
        *log.say(Kind.SETTINGS_CHANGED, changed=["ports"]),
    ]
    assert lines == [
        "12:00:00  · taken over from the state file: preflight: pending -> completed",
        "12:00:00  o11y-dev on host, install  (times are UTC)",
        "12:00:00  · on host: no container engine answers",
        "12:00:00  · settings changed: ports",
    ]


def test_a_step_to_be_done_again_says_why() -> None:
    lines = Log().say(Kind.STEP_INVALIDATED, "pods_ready", reason="changed: ports")
    assert lines[0].endswith("to be done again: changed: ports")


@given(st.lists(events, max_size=12), st.integers(20, 140), st.booleans())
def test_no_event_breaks_the_log_or_the_line(told: list[Event], width: int, verbose: bool) -> None:
    log = Log(width=width, verbose=verbose)
    for event in told:
        log.clock.seconds += 3
        log.console.handle(event)
    shown = log.stream.getvalue()
    assert not dangerous(shown)
    assert not too_wide(shown, width, exempt=["→"])


def test_a_log_that_nobody_reads_does_not_end_the_run() -> None:
    clock = FakeClock()
    console = PlainConsole(BrokenStream(), Progress(TITLES), clock, style=Style(80), heading="")
    for _ in range(3):
        console.handle(EventMaker(clock)(Kind.STEP_STARTED, "preflight", attempt=1))
