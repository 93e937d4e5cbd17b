"""The first start from an offline bundle: from an empty home, with no installer, and in a network without a route."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.first_start import INTERPRETER, Checkout, Started
from kit.offline_bundles import about_here, small_bundle

WHEEL = "wheelhouse_package-1.0-py3-none-any.whl"
HERE = about_here()
NO_NETWORK = ["unshare", "--net"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout that can get its package from nowhere, and the bundle that has it."""
    made = Checkout(tmp_path)
    made.hide_other_pythons()
    (made.bin / "uv").unlink()
    bundle(made)
    return made


def bundle(checkout: Checkout, name: str = WHEEL, content: bytes = b"") -> Path:
    target = checkout.base / "o11y.bundle"
    target.unlink(missing_ok=True)
    small_bundle(target, {f"wheels/{name}": content or (checkout.wheels / WHEEL).read_bytes()}, about=HERE)
    return target


def start(checkout: Checkout, *arguments: str, cwd: Path | None = None) -> Started:
    """Start with no network at all where that can be had, else with nothing to get packages by."""
    can = subprocess.run([*NO_NETWORK, "true"], capture_output=True, check=False).returncode == 0
    return checkout.start(
        *arguments,
        cwd=cwd,
        script=[*(["/usr/bin/unshare", "--net"] if can else []), str(checkout.script)],
        PATH=str(checkout.bin),
        PIP_FIND_LINKS=None,
        UV_FIND_LINKS=None,
    )


WORDS = [["--bundle", "o11y.bundle"], ["--bundle=o11y.bundle"], ["x", "--bundle=../o11y.bundle"]]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_packages_come_from_the_bundle(checkout: Checkout, words: list[str]) -> None:
    below = checkout.base / "below"
    below.mkdir()
    started = start(checkout, *words, cwd=below if "../" in words[-1] else checkout.base)
    assert started.arguments == words
    assert (checkout.runtime() / "wheelhouse_package.py").exists()
    assert checkout.half_made() == []
    assert checkout.remembered()[0] == INTERPRETER


def test_a_tilde_that_no_shell_expanded_is_the_users_home(checkout: Checkout) -> None:
    (checkout.base / "o11y.bundle").rename(checkout.home.parent / "o11y.bundle")
    assert start(checkout, "--bundle=~/o11y.bundle").returncode == 0


def test_a_later_start_needs_no_bundle(checkout: Checkout) -> None:
    assert start(checkout, "--bundle", "o11y.bundle").returncode == 0
    (checkout.base / "o11y.bundle").unlink()
    assert start(checkout, "x").arguments == ["x"]
    assert start(checkout, "--bundle", "o11y.bundle").returncode == 0  # what it says of that is the program's affair


def test_a_word_behind_two_dashes_names_no_bundle(checkout: Checkout) -> None:
    assert start(checkout, "--", "--bundle", "o11y.bundle").returncode == 3
    assert not list(checkout.runtimes.glob("*/.complete"))


LOOKS = [["bundle", "verify", "o11y.bundle"], ["bundle", "list", "o11y.bundle"], ["--provider", "host", "--bundle"]]


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_a_look_at_a_bundle_needs_no_packages(checkout: Checkout, words: list[str]) -> None:
    main = checkout.root / "src/contextcore_install/__main__.py"
    main.write_text(main.read_text().replace("import wheelhouse_package", ""))
    assert start(checkout, *words).arguments == words
    assert not list(checkout.runtimes.glob("*/.complete"))


def test_a_signature_is_checked_with_the_packages_of_the_bundle_itself(checkout: Checkout) -> None:
    words = ["bundle", "verify", "o11y.bundle", "--public-key", "minisign.pub"]
    assert start(checkout, *words).arguments == words
    assert (checkout.runtime() / "wheelhouse_package.py").exists()


def test_a_bundle_for_elsewhere_is_looked_at_with_packages_from_the_index(checkout: Checkout) -> None:
    of_another_machine(checkout.base / "o11y.bundle")
    words = ["bundle", "verify", "o11y.bundle"]
    assert start(checkout, *words).returncode == 3
    assert checkout.start(*words).arguments == words


def test_a_look_that_needs_packages_after_all_gets_them(checkout: Checkout) -> None:
    assert checkout.start("bundle", "list").arguments == ["bundle", "list"]
    assert (checkout.runtime() / "wheelhouse_package.py").exists()


def test_an_empty_name_is_no_bundle(checkout: Checkout) -> None:
    started = start(checkout, "--bundle=")
    assert started.returncode == 3
    assert "it is not a regular file" in started.stderr


def torn(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 600)


def altered(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"VALUE = 1", b"VALUE = 2"))


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def of_another_version(path: Path) -> None:
    path.unlink()
    small_bundle(path, about=about_here(version="0.0.1"))


def of_another_machine(path: Path) -> None:
    path.unlink()
    small_bundle(path, about=about_here(machine="s390x"))


SPOILT: list[tuple[Callable[[Path], None], str]] = [
    (torn, "it is cut short"),
    (altered, "its checksum differs"),
    (missing, "there is no file"),
    (folder, "it is not a regular file"),
    (fifo, "it is not a regular file"),
    (of_another_version, "was made by version 0.0.1"),
    (of_another_machine, "is for"),
]


@pytest.mark.parametrize(("spoil", "said"), SPOILT, ids=[spoil.__name__ for spoil, _ in SPOILT])
def test_what_is_no_bundle_for_here_is_refused_in_a_sentence(
    checkout: Checkout, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(checkout.base / "o11y.bundle")
    started = start(checkout, "--bundle", "o11y.bundle")
    assert started.returncode == 3
    assert said in started.stderr
    assert "Traceback" not in started.stderr
    assert list(checkout.runtimes.glob("*-*")) == []


def test_a_bundle_for_other_pythons_names_them(checkout: Checkout) -> None:
    bundle(checkout, "wheelhouse_package-1.0-cp399-cp399-any.whl")
    started = start(checkout, "--bundle", "o11y.bundle")
    assert started.returncode == 3
    assert "there is no wheel of wheelhouse-package 1.0 in it for Python" in started.stderr
    assert "(3.99)" in started.stderr
