"""All five components from an offline bundle, from an empty home and with no network at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contextcore_install.engine.names import STEP_IDS
from contextcore_install.system.packages.bundle_format import Part, write_bundle
from contextcore_install.system.packages.releases import Platform, releases
from integration.first_start import Started
from integration.test_damaged_runtime import Prepared
from kit.installation import end
from kit.no_network import no_network
from kit.offline_bundles import about_here
from kit.stand_in_stack import VERSIONS, release_file

pytestmark = pytest.mark.slow


class FarAway(Prepared):
    """A checkout that can get nothing from anywhere, and a bundle."""

    def __init__(self, base: Path, prefix: list[str]) -> None:
        super().__init__(base)
        self.prefix = prefix
        (self.bin / "uv").unlink()
        (self.root / "src/contextcore_install/system/packages/digests.toml").write_text("")
        self.bundle = base / "o11y.bundle"
        self.make_bundle()

    def make_bundle(self, **altered: bytes) -> None:
        self.bundle.unlink(missing_ok=True)
        parts = [wheel_part(path) for path in sorted(self.wheels.glob("*.whl"))]
        parts += [release_part(name, altered.get(name) or release_file(name)) for name in VERSIONS]
        write_bundle(self.bundle, about_here("host"), parts)

    def run(self, *words: str) -> Started:
        return self.start(
            *words,
            *("--cluster", "damaged"),
            script=[*self.prefix, str(self.script)],
            PATH=f"{self.bin}:/usr/bin:/bin",
            PIP_FIND_LINKS=None,
            UV_FIND_LINKS=None,
        )

    def install(self) -> Started:
        return self.run("--bundle", str(self.bundle), *self.installation.port_flags())

    def statuses(self) -> set[str]:
        document = json.loads(self.run("--status", "--output", "json").stdout)
        assert [step["id"] for step in document["steps"]] == list(STEP_IDS)
        return {step["status"] for step in document["steps"]}

    def processes(self) -> dict[str, psutil.Process]:
        """Return what runs of the stack, by component."""
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            for name in VERSIONS:
                if any(str(self.home) in word and f"/{name}" in word for word in words):
                    found[name] = process
        return found


def wheel_part(path: Path) -> Part:
    name, version = path.name.split("-")[:2]
    return Part(f"wheels/{path.name}", "wheel", name, version, lambda sink: sink.write(path.read_bytes()))


def release_part(name: str, content: bytes) -> Part:
    release = releases()[name]
    path = f"releases/{release.file_name(Platform.here())}"
    return Part(path, "release", name, release.version, lambda sink: sink.write(content))


@pytest.fixture
def far_away(tmp_path: Path) -> Iterator[FarAway]:
    with no_network() as prefix:
        yield FarAway(tmp_path, prefix)
        for process in psutil.process_iter(["cmdline"]):
            if any(str(tmp_path) in word for word in process.info["cmdline"] or []):
                end(process)


def test_everything_comes_from_the_bundle_and_later_runs_need_it_no_more(far_away: FarAway) -> None:
    done = far_away.install()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far_away.statuses() == {"completed"}
    assert far_away.run("verify").returncode == 0
    far_away.bundle.unlink()
    again = far_away.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing had to be done" in again.stdout
    end(far_away.processes()["loki"])
    assert far_away.run("--repair", "--yes").returncode == 0
    assert set(far_away.processes()) == set(VERSIONS)

    (far_away.home / "bin" / "loki").unlink()
    end(far_away.processes()["loki"])
    gone = far_away.run()
    assert gone.returncode == 1, gone.stdout + gone.stderr
    assert "--install-tools" not in gone.stdout
    assert f"--resume --bundle {far_away.bundle} " in gone.stdout
    far_away.make_bundle()
    assert far_away.install().returncode == 0
    assert set(far_away.processes()) == set(VERSIONS)


def test_a_program_that_was_tampered_with_is_not_installed_nor_is_anything_run(far_away: FarAway) -> None:
    position = far_away.bundle.read_bytes().index(release_file("loki"))
    with far_away.bundle.open("r+b") as file:
        file.seek(position + 40)
        file.write(os.urandom(4))
    done = far_away.install()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "its checksum differs" in " ".join((done.stdout + done.stderr).split())
    assert "Do get the file again, or make another one" in " ".join(done.stdout.split())
    assert f"--bundle {far_away.bundle}" in done.stdout
    assert not far_away.processes()
    assert not list((far_away.home / "bin").iterdir()), "none of the others was put in place"
    far_away.make_bundle()
    done = far_away.install()
    assert done.returncode == 0, done.stdout + done.stderr
