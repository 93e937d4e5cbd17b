from __future__ import annotations

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.notify.contact_points import open_contact_points, split_urls
from contextcore_install.notify.sending import without_url

SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def test_urls_stand_one_a_line_or_several_with_commas_of_their_own() -> None:
    text = "# mine\nmailto://u:p@h.example?to=a@b.c,d@e.f, ntfy://topic\n\nhttps://h/x  https://h/x"
    assert split_urls(text) == ["mailto://u:p@h.example?to=a@b.c,d@e.f", "ntfy://topic", "https://h/x"]


def test_a_line_of_words_is_one_contact_point_that_is_none() -> None:
    urls = split_urls("https://h/x\nask me later\n")
    assert urls == ["https://h/x", "ask me later"]
    with pytest.raises(InstallError) as caught:
        open_contact_points(urls)
    assert "contact point 2 of 2" in caught.value.message


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (SLACK, "Slack"),
        ("ntfy://secret-topic", "ntfy"),
        ("ntfys://ntfy.example/secret-topic", "ntfy"),
        ("mailto://user:secret@gmail.com", "E-Mail"),
        ("http://127.0.0.1:81/secret", "webhook at 127.0.0.1:81"),
        ("https://secret.hooks.example.com/secret", "webhook at *.example.com"),
        ("jsons://user:secret@example.com/secret", "webhook at example.com"),
    ],
)
def test_a_contact_point_is_shown_without_what_is_secret(url: str, name: str) -> None:
    [point] = open_contact_points([url])
    assert point.name == name
    assert "secret" not in repr(point)


def test_a_plain_url_keeps_its_login_path_and_query() -> None:
    [point] = open_contact_points(["https://u:p%40@h.example:99/a%2Fb?token=x%26y&to=me"])
    made = str(point.service.url())  # type: ignore[no-untyped-call]
    assert made.startswith("jsons://u:p%40@h.example:99/a%2Fb?")
    assert "-token=x%26y" in made
    assert "-to=me" in made


@pytest.mark.parametrize("url", ["nonsense", "bogus://secret", "http://", "mailto://", "https://h:port/x"])
def test_what_is_no_contact_point_is_named_by_its_place_alone(url: str) -> None:
    with pytest.raises(InstallError) as caught:
        open_contact_points(["ntfy://topic", url])
    assert "contact point 2 of 2" in caught.value.message
    assert "secret" not in f"{caught.value.as_document()}"


def test_no_piece_of_a_url_is_told() -> None:
    text = "could not post to /services/T1JJ3T3L2 of hooks.slack.com: TIiajkdnlazkcOXrIdevi7FQ"
    assert without_url(text, SLACK) == "could not post to /<hidden>/<hidden> of <hidden>: <hidden>"
