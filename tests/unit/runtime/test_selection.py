"""What an offline bundle decides of an installation, and why one is refused before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import minisign
import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.engine.state import State
from contextcore_install.runtime.selection import Selection, select
from kit import installed_records
from kit.offline_bundles import about_here, small_bundle

RELEASES = {"releases/loki.zip": b"loki", "releases/mimir": b"mimir"}


def selected(folder: Path, *words: str, providers: tuple[str, ...] = ("host",)) -> tuple[Selection, ProviderConfig]:
    bundle = folder / "o11y.bundle"
    if not bundle.exists():
        small_bundle(bundle, RELEASES, about=about_here(*providers))
    app = installed_records.app(folder, "--bundle", str(bundle), *words)
    selection = select(app, State("test"))
    return selection, selection.config(app)


def test_a_bundle_for_one_provider_chooses_it(tmp_path: Path) -> None:
    selection, config = selected(tmp_path, providers=("kube-context",))
    assert (selection.provider, selection.reason) == ("kube-context", "the bundle is for it")
    assert config.bundle == tmp_path / "o11y.bundle"


def test_its_programs_are_installed_and_no_later_run_fetches_any_for_it(tmp_path: Path) -> None:
    selection, config = selected(tmp_path)
    assert config.install_tools
    assert set(config.components or ()) == {"mimir", "loki"}
    assert {"install_tools", "offline_bundle", "bundle_key"}.isdisjoint(selection.settings())


def test_components_that_are_asked_for_are_those(tmp_path: Path) -> None:
    assert set(selected(tmp_path, "--components", "mimir")[1].components or ()) == {"mimir"}


def test_hints_of_a_run_name_the_bundle_again(tmp_path: Path) -> None:
    small_bundle(tmp_path / "it's.tar", about=about_here())
    app = installed_records.app(tmp_path, "--bundle", str(tmp_path / "it's.tar"), "--port", "loki=1")
    assert app.commands_of_run("--resume").startswith("./create-cluster.sh --resume --bundle")
    assert "it" in app.commands_of_run("--resume")
    assert "--port" not in app.commands_of_run("--resume")


def other(*providers: str, **facts: str) -> Callable[[Path], object]:
    return lambda path: small_bundle(path, RELEASES, about=about_here(*providers, **facts))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "bundle-missing"),
    "a folder": (Path.mkdir, "bundle-unusable"),
    "no bundle": (lambda path: path.write_text("hello"), "bundle-unusable"),
    "another version": (other(version="0.0.1"), "bundle-version"),
    "another machine": (other(machine="s390x"), "bundle-platform"),
    "another provider": (other("kind"), "bundle-provider"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused_before_anything_is_done(tmp_path: Path, what: str) -> None:
    make, code = REFUSED[what]
    make(tmp_path / "x.tar")
    app = installed_records.app(tmp_path, "--bundle", str(tmp_path / "x.tar"), "--provider", "host")
    with pytest.raises(InstallError) as caught:
        select(app, State("test"))
    assert (caught.value.code, caught.value.exit_code) == (code, ExitCode.PREFLIGHT_FAILED)


def test_a_bundle_that_is_not_signed_by_the_key_is_refused(tmp_path: Path) -> None:
    ours, other_key = minisign.KeyPair.generate(), minisign.KeyPair.generate()
    bundle = tmp_path / "x.tar"
    small_bundle(bundle, about=about_here(), sign=lambda manifest: bytes(ours.secret_key.sign(manifest)) + b"\n")

    def choose(*words: str) -> Selection:
        return select(installed_records.app(tmp_path, *words), State("test"))

    def public_key(pair: minisign.KeyPair) -> str:
        return str(pair.public_key.to_base64(), "ascii")

    assert choose("--bundle", str(bundle), "--bundle-key", public_key(ours)).provider == "host"
    with pytest.raises(InstallError, match="is not one by the given public key") as caught:
        choose("--bundle", str(bundle), "--bundle-key", public_key(other_key))
    assert caught.value.exit_code == ExitCode.PREFLIGHT_FAILED
    with pytest.raises(InstallError, match="neither a public key of minisign") as caught:
        choose("--bundle", str(bundle), "--bundle-key", "nonsense")
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(InstallError, match="--bundle-key needs --bundle FILE"):
        choose("--bundle-key", public_key(ours))
