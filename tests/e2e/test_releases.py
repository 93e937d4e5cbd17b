"""Manifests that change under an installation: shown, applied, with the data kept; bad ones are named."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import dataclass
from e2e.lab import MANIFESTS, ClusterInstallation, ask, delete_image, engine

LOKI = "grafana/loki"
NEWER = f"{LOKI}:e2e-newer"
NOWHERE = f"{LOKI}:e2e-there-is-no-such-tag"
#: Seconds within which something hopeless must end the waiting: far below the step's limit of 600.
EARLY_S = 240.0


@dataclass
class Manifests:
    """A copy of the program's manifests, to be changed as a newer version would."""

    folder: Path

    @property
    def flags(self) -> tuple[str, str]:
        return "--manifests", str(self.folder)

    def change(self, name: str, before: str, after: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert before in text, f"{before!r} is not in {name}"
        path.write_text(text.replace(before, after))


@pytest.fixture
def manifests(installed: ClusterInstallation, tmp_path: Path) -> Iterator[Manifests]:
    """Return a copy; afterwards the installation is what it was."""
    yield Manifests(Path(shutil.copytree(MANIFESTS, tmp_path / "manifests")))
    back = installed.run("--manifests", str(MANIFESTS))
    assert back.returncode == 0, back.stdout + back.stderr


@pytest.fixture
def newer(installed: ClusterInstallation) -> Iterator[str]:
    """Return an image of Loki that only the local engine has, under a tag of its own."""
    current = next(image for image in installed.images() if image.startswith(f"{LOKI}:"))
    ask(engine(), "tag", current, NEWER)
    yield NEWER
    delete_image(NEWER)


def test_an_upgrade_is_shown_applied_and_keeps_the_data(
    installed: ClusterInstallation, manifests: Manifests, newer: str
) -> None:
    kept = installed.identity(), installed.volumes(), installed.written()
    pods = installed.uids("pods")
    manifests.change("mimir/mimir.yaml", "log_level: warn", "log_level: error")
    manifests.change("loki/statefulset.yaml", _image_of(manifests, "loki"), newer)
    manifests.change("kustomization.yaml", "  - alloy/service-ui.yaml\n", "")
    plan = installed.must("plan", *manifests.flags)
    for part in ("StatefulSet/mimir", "StatefulSet/loki", "ConfigMap/mimir-", "Service/alloy-ui: superfluous"):
        assert part in plan
    assert installed.uids("pods") == pods
    installed.must(*manifests.flags)
    assert newer in installed.images()
    assert "Service/alloy-ui" not in installed.uids("services")
    assert (installed.identity(), installed.volumes(), installed.written()) == kept
    now = installed.uids("pods")
    assert {name for name in pods if pods[name] != now[name]} == {"Pod/mimir-0", "Pod/loki-0"}
    installed.must("verify")
    assert "nothing had to be done" in installed.must()


@pytest.mark.thorough
def test_an_image_that_is_nowhere_ends_the_waiting_early_and_is_named(
    installed: ClusterInstallation, manifests: Manifests
) -> None:
    kept = installed.identity(), installed.volumes(), installed.written()
    manifests.change("loki/statefulset.yaml", _image_of(manifests, "loki"), NOWHERE)
    began = time.monotonic()
    failed = installed.run(*manifests.flags)
    assert failed.returncode == 1, failed.stdout
    assert time.monotonic() - began < EARLY_S
    assert NOWHERE in failed.stdout
    error = installed.steps()["pods_ready"]["error"]
    assert error["code"].startswith("image-")
    manifests.change("loki/statefulset.yaml", NOWHERE, _image_of(Manifests(MANIFESTS), "loki"))
    installed.must("--resume")
    assert (installed.identity(), installed.volumes(), installed.written()) == kept


def test_a_configuration_that_ends_its_program_is_named_with_its_last_words(
    installed: ClusterInstallation, manifests: Manifests
) -> None:
    kept = installed.identity(), installed.volumes(), installed.written()
    manifests.change("loki/loki.yaml", "auth_enabled:", "standin: fail\nauth_enabled:")
    began = time.monotonic()
    failed = installed.run(*manifests.flags)
    assert failed.returncode == 1, failed.stdout
    assert time.monotonic() - began < EARLY_S
    error = installed.steps()["pods_ready"]["error"]
    assert "loki" in error["message"]
    assert "failed parsing config" in error["message"] + error["evidence"]
    manifests.change("loki/loki.yaml", "standin: fail\n", "")
    installed.must("--resume")
    assert (installed.identity(), installed.volumes(), installed.written()) == kept


def _image_of(manifests: Manifests, component: str) -> str:
    text = (manifests.folder / component / "statefulset.yaml").read_text()
    return next(line.split()[-1] for line in text.splitlines() if line.strip().startswith("image: "))
