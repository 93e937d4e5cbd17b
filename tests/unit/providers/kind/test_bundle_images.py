"""Images go straight from a bundle into nodes and engine, and from a tampered one nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.provider import ProviderConfig, Requirement
from contextcore_install.providers.kind.bundle_images import BundleImages
from contextcore_install.providers.kind.cluster import NODE_IMAGE
from contextcore_install.providers.kind.engine import CHOICE
from contextcore_install.providers.kind.images import Images
from contextcore_install.providers.kind.provider import KindProvider
from contextcore_install.system.packages.bundle_format import Part, write_bundle
from contextcore_install.system.programs import KIND
from kit.fakes import Told
from kit.offline_bundles import about_here
from unit.providers.kind.test_images import Lab

NODE, LOKI = "kindest/node:v1.37.0", "grafana/loki:3"
ARCHIVE = b"linux/amd64\n"
LOAD = f"load) cat >images/{NODE.replace('/', '_')}; exit;;\n"


def make_bundle(path: Path) -> Path:
    def part(kind: str, image: str, content: bytes) -> Part:
        return Part(f"images/{image[:7]}.tar", kind, image, "1", lambda sink: sink.write(content))

    parts = [part("node-image", f"{NODE}@sha256:{'1' * 64}", b"node"), part("image", LOKI, ARCHIVE)]
    write_bundle(path, about_here("kind"), parts)
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path)
    script = (tmp_path / "docker").read_text().replace('case "$*" in\n', 'case "$*" in\n' + LOAD, 1)
    (tmp_path / "docker").write_text(script)
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> BundleImages:
    return BundleImages(make_bundle(tmp_path / "o11y.bundle"))


def images(lab: Lab, bundle: BundleImages) -> Images:
    return Images(lab.engine, "demo", may_pull=False, bundle=bundle)


def test_an_image_goes_from_the_bundle_into_every_node_that_lacks_it(lab: Lab, bundle: BundleImages) -> None:
    lab.says("nodes/one", f"docker.io/{LOKI}")
    found = images(lab, bundle)
    assert not found.load_lacking([LOKI], Told().ctx, found.nodes())
    assert lab.node("one") == [f"docker.io/{LOKI}"]
    assert lab.node("two") == ["imported"]
    assert not lab.calls("save")
    assert not lab.calls("pull")


def test_a_node_image_is_known_by_its_tag_and_loaded_once(lab: Lab, bundle: BundleImages) -> None:
    assert bundle.node_image == NODE
    for _ in range(2):
        bundle.load(NODE, lab.engine, Told().ctx)
    assert len(lab.calls("load")) == 1
    assert (lab.folder / "images" / NODE.replace("/", "_")).read_bytes() == b"node"


def test_an_image_that_the_bundle_lacks_comes_from_the_engine(lab: Lab, bundle: BundleImages) -> None:
    lab.has("grafana/mimir:3")
    assert not images(lab, bundle).provide(["grafana/mimir:3"], Told().ctx)
    assert lab.calls("save") == ["save grafana/mimir:3"]


def test_kind_is_to_be_no_older_than_the_bundles_own(lab: Lab, bundle: BundleImages) -> None:
    assert bundle.kind.oldest == KIND.oldest
    path = lab.folder / "other.bundle"
    kind = Part("tools/kind", "tool", "kind", "0.99.1", lambda sink: sink.write(b"kind"))
    write_bundle(path, about_here("kind"), [kind])
    assert BundleImages(path).kind.oldest == (0, 99)


def tamper(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(ARCHIVE, b"linux/evil4\n").replace(b"node\0", b"evil\0"))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("how", [tamper, remove])
def test_of_a_bundle_that_is_not_what_it_was_nothing_is_loaded(
    lab: Lab, bundle: BundleImages, how: Callable[[Path], None]
) -> None:
    assert bundle.holds(LOKI)
    how(lab.folder / "o11y.bundle")
    assert images(lab, bundle).provide([LOKI], Told().ctx)[LOKI].code in {"bundle-unusable", "bundle-missing"}
    with pytest.raises(InstallError):
        bundle.load(NODE, lab.engine, Told().ctx)
    assert not lab.calls("import")
    assert not lab.calls("load")


def test_what_was_changed_while_it_was_loaded_is_removed_again(lab: Lab, bundle: BundleImages) -> None:
    def read() -> None:
        with bundle.open(LOKI, Told().ctx, lambda: lab.says("undone", "yes")) as archive:
            assert archive.read() == ARCHIVE
            tamper(lab.folder / "o11y.bundle")

    with pytest.raises(InstallError, match="was changed while it was read"):
        read()
    assert (lab.folder / "undone").exists()


def test_a_check_ends_with_the_step(bundle: BundleImages) -> None:
    told = Told()
    told.token.cancel("Ctrl-C")
    with pytest.raises(CancelledError):
        bundle.check([LOKI], told.ctx)


def test_the_command_for_a_person_prints_the_archive(lab: Lab, bundle: BundleImages) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar")
    done = subprocess.run(["sh", "-c", bundle.command(LOKI)], capture_output=True, check=True, env=dict(os.environ))
    assert done.stdout == ARCHIVE


def requirement(bundle: BundleImages, *needed: str) -> Requirement:
    return bundle.requirement(lambda: needed)


def test_images_are_checked_once_before_anything_is_done(bundle: BundleImages) -> None:
    required = requirement(bundle, NODE, LOKI)
    (finding,) = required.probe().findings
    assert finding.code == "bundle-unchecked"
    assert required.fix
    required.fix(Told().ctx)
    assert required.probe().evidence.startswith("2 images from ")
    assert not required.probe().findings


def test_images_that_are_not_known_to_be_needed_yet_are_checked_too(bundle: BundleImages) -> None:
    fix = requirement(bundle, NODE).fix
    assert fix
    fix(Told().ctx)
    assert bundle.is_checked([NODE, LOKI])


def test_a_bundle_is_checked_before_a_tool_is_taken_from_it(tmp_path: Path, bundle: BundleImages) -> None:
    first = new_cluster(tmp_path, tmp_path / "o11y.bundle").requirements()[0]
    assert (first.id, bool(first.fix)) == ("bundle", True)


def test_an_image_that_is_nowhere_is_named(bundle: BundleImages) -> None:
    (finding,) = requirement(bundle, LOKI, "grafana/mimir:3").probe().findings
    assert finding.message == "Neither o11y.bundle nor the engine has grafana/mimir:3."


def test_what_is_needed_may_not_be_known(bundle: BundleImages) -> None:
    def needed() -> list[str]:
        raise InstallError("engine-down", "The engine does not answer.")

    probe = bundle.requirement(needed).probe()
    assert (probe.skipped, probe.findings) == (True, ())


def new_cluster(folder: Path, bundle: Path, node_image: str = "") -> KindProvider:
    """Return the provider of one on a machine whose engine has nothing, and which has no kubectl yet."""
    (folder / "path").mkdir()
    engine = folder / "path" / "docker"
    engine.write_text('#!/bin/sh\n[ "$1" = ps ]\n')
    engine.chmod(0o755)
    environ, options = {"PATH": str(engine.parent), CHOICE: "docker"}, {"node_image": node_image}
    config = ProviderConfig("demo", folder / "demo", folder / "bin", environ, options=options, bundle=bundle)
    return KindProvider(config)


def finding_of_a_new_cluster(folder: Path, bundle: Path, node_image: str = "") -> str:
    """Return what preflight says of a bundle."""
    required = next(item for item in new_cluster(folder, bundle, node_image).requirements() if item.id == "bundle")
    return "".join(finding.message for finding in required.probe().findings)


@pytest.mark.parametrize("asked", ["", NODE, f"{NODE}@sha256:{'1' * 64}"], ids=["none", "by tag", "by digest"])
def test_the_node_image_that_is_asked_for_is_taken_from_the_bundle(tmp_path: Path, asked: str) -> None:
    said = finding_of_a_new_cluster(tmp_path, make_bundle(tmp_path / "o11y.bundle"), asked)
    assert said == "The bundle's images were not checked yet."


def test_another_node_image_is_missed_before_anything_is_done(tmp_path: Path) -> None:
    said = finding_of_a_new_cluster(tmp_path, make_bundle(tmp_path / "o11y.bundle"), "kindest/node:v1.30.0")
    assert said == "Neither o11y.bundle nor the engine has kindest/node:v1.30.0."


def test_without_a_node_image_in_the_bundle_the_usual_one_is_missed(tmp_path: Path) -> None:
    write_bundle(tmp_path / "o11y.bundle", about_here("kind"), [])
    said = finding_of_a_new_cluster(tmp_path, tmp_path / "o11y.bundle")
    assert said == f"Neither o11y.bundle nor the engine has {NODE_IMAGE}."
