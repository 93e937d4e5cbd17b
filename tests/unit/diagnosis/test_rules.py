from __future__ import annotations

import pytest

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.evidence import Evidence, clean
from contextcore_install.diagnosis.rules import HTTP_RULES, PROCESS_RULES, diagnose_exit, diagnose_http

FACTS = {
    "title": "the metrics store",
    "port": "9009",
    "port_key": "mimir",
    "folder": "/data/vm",
    "path": "/ready",
    "version": "3.1.1",
}

# What the programs print: VictoriaMetrics 1.79, Prometheus 2.42, Loki 3.4, Tempo, Grafana, Alloy.
ENDINGS = [
    (
        (
            "10:00:00Z\tfatal\tlib/httpserver/httpserver.go:104\tcannot start http server at 127.0.0.1:9009: "
            "listen tcp4 127.0.0.1:9009: bind: address already in use"
        ),
        1,
        "port-in-use",
    ),
    (
        (
            'ts=10:00Z caller=main.go:624 level=error msg="Unable to start web listener" '
            'err="listen tcp 127.0.0.1:9009: bind: address already in use"'
        ),
        1,
        "port-in-use",
    ),
    (
        (
            "10:00:00Z\tpanic\tlib/fs/fs.go:154\tFATAL: cannot create directory /data/vm: "
            "mkdir /data/vm: permission denied"
        ),
        2,
        "permission-denied",
    ),
    (
        (
            'ts=10:00Z caller=main.go:1159 level=error err="opening storage failed: mkdir '
            '/data/vm/chunks_head: read-only file system"'
        ),
        1,
        "permission-denied",
    ),
    (
        (
            "10:00:00Z\tpanic\tlib/fs/fs.go:1\tFATAL: cannot write 4096 bytes to "
            '"/data/vm/data": write /data/vm/data: no space left on device'
        ),
        2,
        "disk-full",
    ),
    (
        (
            'ts=10:00Z caller=main.go:1159 level=error err="opening storage failed: lock DB directory: '
            'resource temporarily unavailable"'
        ),
        1,
        "data-locked",
    ),
    (
        (
            "10:00:00Z\tpanic\tlib/storage/storage.go:1\tFATAL: cannot open storage at /data/vm: "
            'cannot create lock file "/data/vm/flock.lock": cannot acquire lock on file "/data/vm/flock.lock": '
            "resource temporarily unavailable"
        ),
        2,
        "data-locked",
    ),
    ("flag provided but not defined: -dedup.minScrapeInterval", 2, "unknown-option"),
    (
        "Error parsing commandline arguments: unknown long flag '--web.enable-remote-write-receiver'",
        2,
        "unknown-option",
    ),
    (
        "failed parsing config: /c/mimir.yaml: yaml: unmarshal errors:\n  line 3: field ring not found",
        1,
        "bad-config",
    ),
    ("failed parsing config: field frontend_address not found in type v2.Config", 1, "bad-config"),
    (
        'ts=10:00Z caller=main.go:449 level=error msg="Error loading config (--config.file=x)" err="y"',
        2,
        "bad-config",
    ),
    ("Error: could not perform the initial load successfully", 1, "bad-config"),
    (
        (
            "10:00:00Z\tpanic\tapp/vmstorage/main.go:91\tFATAL: cannot open a storage at data: "
            'cannot open indexdb tables at "data/indexdb": cannot open prev indexdb table "17A3": missing metadata.json'
        ),
        2,
        "data-of-another-version",
    ),
    (
        (
            "10:00:00Z\tpanic\tlib/storage/partition.go:1\tFATAL: cannot open partition: unexpected EOF "
            "when reading metadata.json"
        ),
        2,
        "data-damaged",
    ),
    (
        (
            'ts=10:00Z caller=main.go:1159 level=error err="opening storage failed: repair corrupted WAL: '
            'checksum mismatch"'
        ),
        1,
        "data-damaged",
    ),
    ("runtime: out of memory: cannot allocate 4194304-byte block", 2, "out-of-memory"),
    ("fatal error: runtime: cannot allocate memory", 2, "out-of-memory"),
    ("anything at all", -9, "killed"),
    ("an error: permission denied", 137, "killed"),
    ("accept tcp 127.0.0.1:9009: accept4: too many open files", 1, "too-many-open-files"),
    ("/bin/mimir: cannot execute binary file: Exec format error", 126, "wrong-machine"),
]


@pytest.mark.parametrize(("line", "exit_code", "expected"), ENDINGS)
def test_an_ending_is_recognised(line: str, exit_code: int, expected: str) -> None:
    finding = diagnose_exit(Evidence("mimir", ["starting", *line.splitlines()], exit_code, facts=FACTS))
    assert finding.code == expected
    assert "the metrics store" in finding.message
    assert "{" not in finding.message
    assert finding.remedy is not None
    assert "{" not in finding.remedy.command
    assert line.splitlines()[0].replace("\t", " ")[:30] in finding.evidence.replace("\t", " ")


def test_every_process_rule_is_shown_by_an_ending() -> None:
    assert {expected for _, _, expected in ENDINGS} == {rule.id for rule in PROCESS_RULES}


def test_what_was_only_chatter_explains_nothing() -> None:
    lines = [
        'level=info msg="no corruption found"',
        "10:00:00Z\tinfo\tretrying: permission denied",
        '{"level":"info","msg":"too many open files would be bad"}',
    ]
    assert diagnose_exit(Evidence("mimir", lines, 1, facts=FACTS)).code == "process-ended"


@pytest.mark.parametrize(
    ("code", "says"), [(None, "has ended"), (3, "ended with exit code 3"), (-15, "ended by signal 15")]
)
def test_an_ending_that_no_rule_knows_shows_the_last_words(code: int | None, says: str) -> None:
    finding = diagnose_exit(Evidence("mimir", ["one", "two"], code, facts=FACTS))
    assert says in finding.message
    assert finding.evidence == "one\ntwo"
    assert finding.remedy is not None
    assert finding.remedy.automatic


def test_damaged_data_is_never_put_aside_automatically() -> None:
    rule = next(rule for rule in PROCESS_RULES if rule.id == "data-damaged")
    assert rule.risk is Risk.LOSES_DATA
    assert not rule.automatic


ANSWERS = [
    (Evidence("mimir", http_code="http-refused", facts=FACTS), "starting", None),
    (Evidence("mimir", http_code="http-timeout", facts=FACTS), "does not answer", None),
    (Evidence("mimir", http_code="http-reset", facts=FACTS), "breaks connections", None),
    (
        Evidence(
            "mimir", http_status=503, http_text="Ingester not ready: waiting for 15s\nmore", facts=FACTS
        ),
        "not ready: Ingester not ready: waiting for 15s",
        None,
    ),
    (Evidence("mimir", http_status=503, facts=FACTS), "not ready: it did not say why", None),
    (
        Evidence("mimir", http_code="http-not-http", facts=FACTS),
        "What listens on port 9009 is not the metrics store.",
        "wrong-service",
    ),
    (
        Evidence("mimir", http_status=404, http_text="<html>nginx</html>", facts=FACTS),
        "What answers on port 9009 is not the metrics store: it has no /ready (HTTP 404).",
        "wrong-service",
    ),
]


@pytest.mark.parametrize(("evidence", "condition", "code"), ANSWERS)
def test_an_answer_is_told_in_words(evidence: Evidence, condition: str, code: str | None) -> None:
    said, finding = diagnose_http(evidence)
    assert said == condition
    assert (finding.code if finding else None) == code


def test_every_http_rule_is_shown_by_an_answer() -> None:
    assert len(ANSWERS) > len(HTTP_RULES)


def test_facts_that_are_missing_do_no_harm() -> None:
    assert "?" in diagnose_exit(Evidence("x", ["address already in use"], 1)).message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\x1b[31merror\x1b[0m \x1b]0;title\x07text", "error text"),
        ("admin_password = hunter2", "admin_password = [hidden]"),
        ('"password": "hun ter2", "x": 1', '"password": [hidden], "x": 1'),
        ("GF_SECURITY_ADMIN_PASSWORD=hunter2 next", "GF_SECURITY_ADMIN_PASSWORD=[hidden] next"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer [hidden]"),
        ("http://user:hunter2@host/path", "http://user:[hidden]@host/path"),
        ("api_key=abc", "api_key=[hidden]"),
        ("level=info msg=plain", "level=info msg=plain"),
        ("x" * 1000, "x" * 399 + "…"),
    ],
)
def test_lines_are_fit_to_be_shown(line: str, expected: str) -> None:
    assert clean(line) == expected
