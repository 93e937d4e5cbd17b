"""A bundle: its order, its bounds, and that nothing secret is in it."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.cli.settings import parse
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Collector, Piece, Provider
from contextcore_install.runtime.app import App
from contextcore_install.runtime.bundle.bundle import Bundle, BundleLimits, make_bundle
from contextcore_install.storage.home import Home
from contextcore_install.system.clock import SystemClock
from kit.archives import read_bundle
from kit.fakes import FakeProvider, Told

MARKER = "pl4nt3dM4rk3r"
LIMITS = BundleLimits(60, 60, text_bytes=2_000, document_bytes=5_000, total_bytes=20_000)


def an_app(folder: Path, environ: Mapping[str, str] | None = None) -> App:
    settings = parse(["diagnose"], {}, "./create-cluster.sh")
    surroundings = {"HOME": str(folder), **(environ or {})}
    streams = (io.StringIO(), io.StringIO(), io.StringIO())
    return App(settings, surroundings, Home(folder / "home"), *streams, SystemClock())


def evidence(name: str, *pieces: Piece, error: str = "", slow: bool = False) -> Collector:
    def collect(_: StepContext) -> Iterator[Piece]:
        yield from pieces
        if error:
            raise InstallError("x", error)

    return Collector(name, collect, slow)


def made(
    folder: Path,
    *items: Collector,
    line: str = "it is broken",
    more: list[str] | None = None,
    environ: Mapping[str, str] | None = None,
    limits: BundleLimits = LIMITS,
    provider: Provider | None = None,
) -> Bundle:
    return make_bundle(
        an_app(folder, environ), Told().ctx, items, lambda: (line, more or []), limits, provider=provider
    )


def test_the_diagnosis_is_first_what_is_slow_last_and_all_is_named(tmp_path: Path) -> None:
    bundle = made(
        tmp_path,
        evidence("s", ("z/slow.txt", "s"), slow=True),
        evidence("b", ("b.txt", "b"), ("b.json", {"b": 1}), error="then it broke"),
        evidence("a", ("a.txt", "a"), error="then it broke"),
        line="two\nlines",
    )
    members = read_bundle(bundle.path)
    order = ["diagnosis.txt", "b.txt", "b.json", "a.txt", "z/slow.txt", "not-collected.txt"]
    assert list(members) == list(bundle.members) == order
    assert members["diagnosis.txt"].splitlines()[0] == bundle.diagnosis == "two lines"
    assert all(f"  {name}" in members["diagnosis.txt"].splitlines() for name in order[1:])
    assert members["not-collected.txt"] == "b, a: then it broke\n"
    assert json.loads(members["b.json"]) == {"b": 1}
    assert stat.S_IMODE(bundle.path.stat().st_mode) == 0o600
    assert bundle.path.stat().st_size == bundle.bytes


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/./b", "with blanks\n", "\x1b[31m"])
def test_no_member_leads_out_of_where_it_is_unpacked(tmp_path: Path, name: str) -> None:
    bundle = made(tmp_path, evidence("odd", (name, "x")))
    odd = bundle.members[1]
    assert not odd.startswith("/")
    assert odd.isprintable()
    assert not {".", "..", ""} & set(odd.split("/"))


@pytest.mark.parametrize(
    "content",
    [
        f"password={MARKER}",
        {"journal": [{"evidence": json.dumps({"password": MARKER})}]},
        [{"output": f"-----BEGIN PRIVATE KEY-----\n{MARKER}\n"}, f"Authorization: Bearer {MARKER}"],
        f"GET /hook/{MARKER}-as-it-is",
        {f"key-{MARKER}-as-it-is": 1},
    ],
    ids=["text", "JSON in a document", "lines", "known", "known as a key"],
)  # fmt: skip
def test_no_secret_is_in_it(tmp_path: Path, content: Any) -> None:
    known = f"{MARKER}-as-it-is"
    bundle = made(
        tmp_path,
        evidence(f"password={MARKER}", (f"x/{known}.txt", content), error=f"token={MARKER}"),
        line=f"failed at https://me:{MARKER}@example.org",
        more=["-----BEGIN PRIVATE KEY-----", MARKER, "-----END PRIVATE KEY-----"],
        environ={"GITHUB_TOKEN": known},
    )
    assert MARKER not in json.dumps(read_bundle(bundle.path))
    assert MARKER not in json.dumps([bundle.diagnosis, bundle.members, bundle.not_collected])


@pytest.mark.parametrize(
    "variable", ["GITHUB_TOKEN", "MY_PASSWORD", "CONTEXTCORE_NOTIFY", "HTTPS_PROXY", "no_such_thing"]
)
def test_what_the_environment_tells_to_be_secret_is_hidden_everywhere(tmp_path: Path, variable: str) -> None:
    value = {"HTTPS_PROXY": f"http://joe:{MARKER}@proxy.example:3128", "CONTEXTCORE_NOTIFY": f"ntfys://{MARKER}"}
    environ = {variable: value.get(variable, MARKER)}
    text = environ[variable] if variable == "CONTEXTCORE_NOTIFY" else f"it said {MARKER}, and went on"
    shown = json.dumps(read_bundle(made(tmp_path, evidence("x", ("x.txt", text)), environ=environ).path))
    assert (MARKER in shown) == (variable == "no_such_thing")


def test_the_password_that_the_provider_knows_is_hidden_and_one_that_it_cannot_tell_stops_nothing(
    tmp_path: Path,
) -> None:
    provider = FakeProvider()
    provider.kept.password = lambda: MARKER  # type: ignore[method-assign]
    said = evidence("x", ("x.txt", f"the login is {MARKER}"))
    assert MARKER not in json.dumps(read_bundle(made(tmp_path, said, provider=provider).path))
    provider.failures["data"] = [InstallError("down", "it is down")]
    assert made(tmp_path, said, provider=provider).members == ("diagnosis.txt", "x.txt")


def test_of_a_text_the_end_is_kept_in_whole_lines_and_no_half_secret_at_the_cut(tmp_path: Path) -> None:
    text = "".join(f"{number} password={MARKER * 20}\n" for number in range(5_000))
    shown = read_bundle(made(tmp_path, evidence("x", ("x.txt", text))).path)["x.txt"]
    first, *lines = shown.splitlines()
    assert first == "[only the end]"
    assert lines[-1] == "4999 password=<hidden>"
    assert all(line.endswith(" password=<hidden>") for line in lines)
    assert len(shown) <= LIMITS.text_bytes + 20


def test_what_is_too_large_is_left_out_and_told(tmp_path: Path) -> None:
    many = [evidence(f"e{number}", (f"{number}.txt", "x\n" * 990)) for number in range(30)]
    bundle = made(tmp_path, evidence("d", ("d.json", {"x": "y" * 6_000})), *many)
    members = read_bundle(bundle.path)
    assert sum(len(text) for name, text in members.items() if name.endswith("0.txt")) <= LIMITS.total_bytes
    assert "0.txt" in members
    assert "29.txt" not in members
    assert "d.json: it is larger than 4 KiB" in bundle.not_collected
    assert any(item.endswith("29.txt: the bundle is full") for item in bundle.not_collected)


def test_the_newest_five_stay_and_other_files_are_left_alone(tmp_path: Path) -> None:
    first = made(tmp_path, evidence("x", ("x.txt", "x"))).path
    (first.parent / "mine.tar.gz").write_text("")
    later = [made(tmp_path, evidence("x", ("x.txt", "x"))).path for _ in range(6)]
    there = sorted(first.parent.iterdir())
    assert there == sorted([first.parent / "mine.tar.gz", *later[-5:]])
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
