"""No secret and no name is left in what is handed to others, and the rest stays readable."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextcore_install.core import redaction
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Event, Kind
from contextcore_install.core.redaction import HIDDEN, Redaction, hide_secrets
from contextcore_install.engine.recorder import Recorder
from kit.fakes import RealClock

MARKER = "pl4nt3dM4rk3r"


@pytest.mark.parametrize(
    "text",
    [
        f"password={MARKER}",
        f"GF_SECURITY_ADMIN_PASSWORD: {MARKER}",
        f'{{"admin-password": "{MARKER} with \\" a quote"}}',
        f"--password {MARKER}",
        f"curl --token={MARKER} http://127.0.0.1",
        f"Authorization: Bearer {MARKER}{MARKER}",
        f"Authorization: Basic {MARKER}==",
        f"https://user:{MARKER}@example.org/x",
        f"redis://:{MARKER}@127.0.0.1:6379",
        f"https://hooks.slack.com/services/T0/B0/{MARKER}",
        f"client-key-data: {MARKER}",
        f"AWS_SECRET_ACCESS_KEY='{MARKER} two words'",
        f"glsa_{MARKER}{MARKER}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{MARKER}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{MARKER}, cut off",
        f"{MARKER}==\n-----END PRIVATE KEY-----\nmore",
        f"x-api-key: {MARKER}; next",
        f"set-cookie: session={MARKER}",
    ],
)
def test_no_secret_is_left(text: str) -> None:
    hidden = hide_secrets(text)
    assert MARKER not in hidden
    assert HIDDEN in hidden
    assert hide_secrets(hidden).count(HIDDEN) == hidden.count(HIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        "kubectl --context kind-o11y-dev -n observability get secret grafana-admin",
        "http://127.0.0.1:3000/d/contextcore-installation",
        "3 of 5 ready, mimir is not ready: starting",
        "user@example.org wrote this",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert hide_secrets(text) == text


def test_names_of_people_and_machines_are_hidden() -> None:
    redaction = Redaction(home="/home/joe", host="joes-laptop.example", user="joe")
    said = redaction.text(
        "/home/joe/.contextcore on joes-laptop.example (joes-laptop) by joe; joey and /home/joel stay"
    )
    assert said == "~/.contextcore on HOST (HOST) by USER; joey and /home/joel stay"


def test_known_secrets_are_hidden_wherever_they_stand() -> None:
    redaction = Redaction(user="joe", secrets=[MARKER, f"{MARKER}-longer", "short", ""])
    said = redaction.text(f"joe went to /hook/{MARKER}-longer/x{MARKER}x, which is short")
    assert said == f"USER went to /hook/{HIDDEN}/x{HIDDEN}x, which is short"
    assert redaction.document({"url": MARKER}) == {"url": HIDDEN}


def test_names_too_short_to_tell_from_words_are_left() -> None:
    assert Redaction(home="/", host="a", user="me").text("a path of me: /tmp/a") == "a path of me: /tmp/a"


def test_documents_are_walked() -> None:
    redaction = Redaction(home="/home/joe")
    document = {"path": "/home/joe/x", "list": ["/home/joe", 1, None], "token": MARKER, "deep": {"password": MARKER}}
    assert redaction.document(document) == {
        "path": "~/x",
        "list": ["~", 1, None],
        "token": HIDDEN,
        "deep": {"password": HIDDEN},
    }


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    hide_secrets(text)


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "token" * 200_000, "-" * 1_000_000, "password=" * 100_000, "://" * 300_000]
)
def test_long_text_takes_no_time_to_speak_of(text: str) -> None:
    began = time.monotonic()
    hide_secrets(text)
    assert time.monotonic() - began < 20  # seconds: what grows with the square would take hours


class Kept:
    """A journal and a state in one, which only remember the events."""

    dirty = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, event: Event) -> None:
        self.events.append(event)

    def handle(self, event: Event) -> None:
        pass

    def sync(self) -> None:
        pass

    def save(self) -> None:
        pass


def test_events_are_recorded_without_secrets_and_settings_as_they_are() -> None:
    kept = Kept()
    recorder = Recorder(kept, RealClock(), kept, [], run_id="r")
    recorder.record(Kind.NOTICE, "preflight", text=f"password: {MARKER}")
    recorder.record(Kind.STEP_FAILED, "preflight", error={"message": "no", "token": MARKER})
    settings = {"manifests": "/srv/token=of/manifests"}
    recorder.record(Kind.SETTINGS_CHANGED, settings=settings)
    assert [event.data for event in kept.events] == [
        {"text": f"password: {HIDDEN}"},
        {"error": {"message": "no", "token": HIDDEN, "hint": ""}},
        {"settings": settings},
    ]


def test_what_was_seen_of_an_error_is_shown_without_secrets() -> None:
    assert InstallError("x", "it failed", f"token={MARKER}").evidence == f"token={HIDDEN}"


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in redaction._PATTERNS])
@given(st.data())
def test_what_a_pattern_finds_in_ascii_has_one_of_the_marks(pattern: str, data: st.DataObject) -> None:
    simple = pattern.replace("*+(?:", "*(?:").replace(")*+", ")*")  # the strategy knows no possessive repetitions
    found = data.draw(st.from_regex(simple, alphabet=st.characters(codec="ascii")))
    assert redaction._may_have_secrets(found.lower())
