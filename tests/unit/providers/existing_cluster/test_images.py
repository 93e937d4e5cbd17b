"""Where an existing cluster gets its images, if everything else comes from a bundle."""

from __future__ import annotations

from pathlib import Path

from contextcore_install.core.provider import Probe
from contextcore_install.stack.catalogue import COMPONENTS
from kit.kube_world import Cluster, in_context


def images(folder: Path, *, bundle: bool = True, registry: str = "") -> Probe | None:
    """Return what preflight says of images; None if it says nothing."""
    named = folder / "o11y.bundle" if bundle else None
    place = in_context(folder, Cluster(folder / "lab"), [], bundle=named, registry=registry)
    return next((item.probe() for item in place.requirements() if item.id == "images"), None)


def test_the_images_that_the_cluster_has_to_pull_are_named(tmp_path: Path) -> None:
    probe = images(tmp_path)
    assert probe
    (finding,) = probe.findings
    assert finding.warning
    assert finding.evidence == ", ".join(item.image for item in COMPONENTS)
    assert finding.remedy
    assert finding.remedy.command == f"./create-cluster.sh bundle list {tmp_path / 'o11y.bundle'}"


def test_a_registry_that_was_named_is_taken_at_its_word(tmp_path: Path) -> None:
    assert images(tmp_path, registry="mirror.example/hub") == Probe("the cluster pulls them from mirror.example/hub")


def test_without_a_bundle_images_are_nobodys_concern(tmp_path: Path) -> None:
    assert images(tmp_path, bundle=False) is None
