"""Evidence is fit to be shown, and rules fill their sentences from it."""

from __future__ import annotations

import pytest

from contextcore_install.diagnosis.diagnose import Evidence, clean, clean_lines, diagnose, explain
from contextcore_install.diagnosis.rule import Subject


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\x1b[31merror\x1b[0m \x1b]0;title\x07text", "error text"),
        ("admin_password = hunter2", "admin_password = <hidden>"),
        ('"password": "hun ter2", "x": 1', '"password": <hidden>, "x": 1'),
        ("GF_SECURITY_ADMIN_PASSWORD=hunter2 next", "GF_SECURITY_ADMIN_PASSWORD=<hidden> next"),
        ("http://user:hunter2@host/path", "http://<hidden>@host/path"),
        ("api_key=abc", "api_key=<hidden>"),
        ("level=info msg=plain", "level=info msg=plain"),
        ("a" * 500 + "b" * 500, "a" * 100 + "…" + "b" * 299),
    ],
)
def test_lines_are_fit_to_be_shown(line: str, expected: str) -> None:
    assert clean(line) == expected


UNTOLD = "has ended; its exit code is not known, as an earlier run started it"


def test_what_a_program_said_while_all_went_well_shows_nothing() -> None:
    lines = [
        "2026-11-28T00:31:00.123Z\tinfo\tVictoriaMetrics/lib/storage/storage.go:1\topened storage",
        'ts=2026-11-28T00:31:00Z level=info msg="ready"',
        "2026-11-28T00:31:01.123Z\twarn\tVictoriaMetrics/lib/memory/memory.go:1\tlittle is left",
    ]
    finding = explain(Subject.PROCESS, Evidence("mimir", lines, facts={"title": "it"})).finding
    assert finding.evidence == lines[-1]


@pytest.mark.parametrize(("code", "says"), [(None, UNTOLD), (3, "ended with exit code 3"), (-15, "ended by signal 15")])
def test_an_ending_that_no_rule_knows_shows_the_last_words(code: int | None, says: str) -> None:
    finding = explain(Subject.PROCESS, Evidence("mimir", ["one", "two"], code, facts={"title": "it"})).finding
    assert finding.message == f"it {says}."
    assert finding.evidence == "one\ntwo"


def test_the_line_that_tells_comes_first_and_the_last_ones_follow() -> None:
    lines = ["a: permission denied", *(f"line {number}" for number in range(9))]
    shown = explain(Subject.PROCESS, Evidence("mimir", lines, 1)).finding.evidence
    assert shown.splitlines() == ["a: permission denied", *(f"line {number}" for number in range(4, 9))]


def test_a_line_of_kilobytes_shows_the_cause_wherever_it_stands() -> None:
    chain = "cannot open a storage: " + "cannot open it at /data/vm: " * 60
    line = f"10:00\tfatal\t{chain}expecting non-zero metaindex rows; got zero; block data (hex): {'F5' * 3000}"
    found = explain(Subject.PROCESS, Evidence("mimir", [line], 1)).finding
    assert found.code == "data-damaged"
    assert found.evidence.startswith("10:00\tfatal\tcannot open a storage")
    assert "expecting non-zero metaindex rows; got zero" in found.evidence
    assert len(found.evidence) <= 400


def test_what_a_program_said_as_it_gave_up_is_shown_whatever_follows() -> None:
    lines = ["panic: the reason", *(f"r{number} 0x0" for number in range(20))]
    shown = explain(Subject.PROCESS, Evidence("mimir", lines, 2)).finding.evidence
    assert shown.splitlines()[0] == "panic: the reason"


def test_facts_that_are_missing_do_no_harm() -> None:
    assert "?" in explain(Subject.PROCESS, Evidence("x", ["address already in use"], 1)).finding.message


@pytest.mark.parametrize("facts", [{}, {"memory": "1"}, {"memory": "1", "wanted": ""}, {"wanted": "2"}])
def test_a_number_that_is_not_known_is_not_below_anything(facts: dict[str, str]) -> None:
    assert diagnose(Subject.MACHINE, Evidence("machine", facts=facts)) is None


def test_what_passes_is_told_in_few_words_and_is_no_problem() -> None:
    found = explain(Subject.HTTP, Evidence("mimir", http_status=503, http_text="Ingester not ready\nmore"))
    assert (found.condition, found.problem) == ("not ready: Ingester not ready", None)
    found = explain(Subject.HTTP, Evidence("mimir", http_status=418))
    assert (found.condition, found.problem) == ("HTTP 418", None)


@pytest.mark.parametrize(
    ("line", "retryable", "hint"),
    [
        ("The connection to the server 127.0.0.1:1 was refused", True, "kubectl --context ? get --raw /readyz"),
        ("no matches for kind", False, "Install what defines it first."),
    ],
)
def test_an_error_says_what_to_type_and_whether_to_try_again(line: str, *, retryable: bool, hint: str) -> None:
    error = explain(Subject.KUBECTL, Evidence("kubectl", [line])).error()
    assert (error.retryable, error.hint, error.evidence) == (retryable, hint, line)


def test_the_stack_of_a_panic_does_not_hide_its_cause() -> None:
    cause = "panic: FATAL: write /data/vm/parts.json: no space left on device"
    step = "github.com/x/y/lib/fs.(*Writer).Step(0xc0, {0x1, 0x2})\n\t/src/fs/fs.go:12 +0x1a5"
    frames = [step] * 40
    log = [cause, "", "goroutine 1 [running]:", *"\n".join(frames).splitlines(), "main.main()", "\t/src/main.go:97"]
    assert [line for line in clean_lines(log, 30) if line] == [cause]


def test_lines_that_only_look_like_a_stack_are_kept() -> None:
    said = ["could not load config.yaml (line 3)", "panic(err) in main", "see https://x.y/z(1)?", "a.go:3: bad"]
    assert clean_lines(said, 30) == said
