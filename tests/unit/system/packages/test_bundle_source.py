"""Releases come from a bundle, and only those that upstream released."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.system.packages.bundle_file import BundleSource, source_of
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.install import install_program
from contextcore_install.system.packages.releases import Platform, Release, releases
from kit.fakes import Told
from kit.offline_bundles import about_here, small_bundle

PROGRAM = b"#!/bin/sh\necho it, version 1.0\n"
RELEASE = Release("it", "1.0", "https://example.org", "it", "it.sha256")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    small_bundle(tmp_path / "o11y.bundle", {"releases/it": PROGRAM, "tools/kind": PROGRAM}, about=about_here())
    return tmp_path / "o11y.bundle"


def test_a_release_is_copied_out_of_the_bundle(bundle: Path, tmp_path: Path) -> None:
    BundleSource(bundle).get(Told().ctx, RELEASE, Platform.here(), tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == PROGRAM


@pytest.mark.parametrize(
    ("release", "code"),
    [
        (replace(RELEASE, version="2.0"), "bundle-lacks"),
        (replace(RELEASE, digests={str(Platform.here()): "0" * 64}), "bundle-unusable"),
    ],
    ids=["another version", "another digest than upstream's"],
)
def test_another_release_is_not_taken(bundle: Path, tmp_path: Path, release: Release, code: str) -> None:
    with pytest.raises(InstallError) as caught:
        BundleSource(bundle).get(Told().ctx, release, Platform.here(), tmp_path / "it")
    assert caught.value.code == code
    assert not (tmp_path / "it").exists()


def test_a_tampered_program_is_not_put_in_place(bundle: Path, tmp_path: Path) -> None:
    bundle.write_bytes(bundle.read_bytes().replace(b"echo it", b"echo no"))
    with pytest.raises(InstallError, match="its checksum differs"):
        BundleSource(bundle).get(Told().ctx, RELEASE, Platform.here(), tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_nothing_is_taken_of_a_bundle_in_which_any_program_was_tampered_with(bundle: Path, tmp_path: Path) -> None:
    content = bundle.read_bytes()
    place = content.rindex(PROGRAM)  # that of kind, which is behind the release
    bundle.write_bytes(content[:place] + b"#!/bin/ls" + content[place + 9 :])
    source = BundleSource(bundle)
    for _ in range(2):
        with pytest.raises(InstallError, match="tools/kind is not what it was: its checksum differs"):
            source.get(Told().ctx, RELEASE, Platform.here(), tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_what_a_bundle_lacks_is_looked_for_nowhere_else(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        install_program("kubectl", Told().ctx, tmp_path / "bin", {"PATH": ""}, source=BundleSource(bundle))
    version = releases()["kubectl"].version
    assert (caught.value.code, caught.value.message) == ("bundle-lacks", f"{bundle} has no kubectl {version}.")
    assert caught.value.hint == "take a bundle that was made with it, or put it on PATH"


def test_without_a_bundle_releases_are_upstreams(tmp_path: Path) -> None:
    config = ProviderConfig("demo", tmp_path, tmp_path, {})
    assert isinstance(source_of(config), Upstream)
    assert isinstance(source_of(replace(config, bundle=tmp_path / "b")), BundleSource)
