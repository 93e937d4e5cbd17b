"""What is selected of components, what an offline bundle decides, and why one is refused before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.engine.state import State
from contextcore_install.runtime.selection import Selection, note_bundle, select
from contextcore_install.system.packages.bundle_signature import read_signer
from kit import installed_records
from kit.offline_bundles import about_here, small_bundle
from kit.signing_keys import SigningPair

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


def test_where_its_tools_come_from_is_noted_until_they_are_to_be_fetched(tmp_path: Path) -> None:
    bundle = str(tmp_path / "o11y.bundle")
    for words, hint in (
        (["--bundle", bundle], f"--bundle {bundle}"),
        ([], f"--bundle {bundle}"),
        (["--install-tools"], "--install-tools"),
        ([], "--install-tools"),
    ):
        app = installed_records.app(tmp_path, *words)
        app.layout.folder.mkdir(parents=True, exist_ok=True)
        note_bundle(app)
        assert app.commands_of_run.typed("./create-cluster.sh --install-tools").partition(" ")[2].startswith(hint)


def test_components_that_are_asked_for_are_those(tmp_path: Path) -> None:
    assert set(selected(tmp_path, "--components", "mimir")[1].components or ()) == {"mimir"}


def chosen(folder: Path, *words: str, settings: dict[str, object] | None = None) -> set[str] | None:
    app, state = installed_records.app(folder, "--provider", "host", *words), State("test", settings=settings or {})
    selection = select(app, state)
    assert selection.settings().get("components") == selection.options.get("components")
    found = selection.config(app).components
    return None if found is None else set(found)


def test_all_components_are_chosen_by_who_has_tools_installed_and_names_none(tmp_path: Path) -> None:
    every = {"mimir", "loki", "tempo", "alloy", "grafana"}
    assert chosen(tmp_path) is None
    assert chosen(tmp_path, "--install-tools") == every
    assert chosen(tmp_path, "--components", "loki") == {"mimir", "loki"}
    assert chosen(tmp_path, "--install-tools", "--components", "loki") == {"mimir", "loki"}


def test_a_choice_is_kept_and_an_older_installation_has_made_none(tmp_path: Path) -> None:
    assert chosen(tmp_path, settings={"install_tools": True}) is None
    assert chosen(tmp_path, settings={"components": "grafana"}) == {"mimir", "grafana"}
    assert chosen(tmp_path, "--install-tools", settings={"components": "grafana"}) == {"mimir", "grafana"}
    assert chosen(tmp_path, "--components", "mimir", settings={"components": "grafana"}) == {"mimir"}


@pytest.mark.parametrize("kept", [7, [], "nginx", ""])
def test_a_choice_in_a_damaged_record_is_told(tmp_path: Path, kept: object) -> None:
    with pytest.raises(InstallError, match="There is no component named"):
        chosen(tmp_path, settings={"components": kept})


def test_components_are_not_for_a_cluster(tmp_path: Path) -> None:
    app = installed_records.app(tmp_path, "--provider", "kind", "--install-tools")
    assert select(app, State("test")).config(app).components is None
    with pytest.raises(InstallError, match="--components cannot be combined with --provider kind"):
        select(installed_records.app(tmp_path, "--provider", "kind", "--components", "loki"), State("test"))


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
    ours = SigningPair()
    bundle = tmp_path / "x.tar"
    small_bundle(bundle, about=about_here(), sign=read_signer(ours.write(tmp_path / "key"), str))

    def choose(*words: str) -> Selection:
        return select(installed_records.app(tmp_path, *words), State("test"))

    assert choose("--bundle", str(bundle), "--bundle-key", ours.public).provider == "host"
    with pytest.raises(InstallError, match="is not one by the given public key") as caught:
        choose("--bundle", str(bundle), "--bundle-key", SigningPair().public)
    assert caught.value.exit_code == ExitCode.PREFLIGHT_FAILED
    with pytest.raises(InstallError, match="neither a public key of minisign") as caught:
        choose("--bundle", str(bundle), "--bundle-key", "nonsense")
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(InstallError, match="--bundle-key needs --bundle FILE"):
        choose("--bundle-key", ours.public)
