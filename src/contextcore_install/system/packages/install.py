"""Gets a metrics store into a folder of ours, without touching the system.

Ways, in this order: the distribution's package, downloaded and unpacked; Homebrew; upstream's pinned release, checked
against its published sha256. Whatever the way, the program appears in the folder whole and tried out, or not at all.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import RESUME
from contextcore_install.core.ports import StepContext
from contextcore_install.system import process
from contextcore_install.system.files import sync_folder
from contextcore_install.system.packages import apt
from contextcore_install.system.packages.download import PinnedDownload, download_checked
from contextcore_install.system.process import Completed
from contextcore_install.system.supervisor import StartOptions
from contextcore_install.system.work_folders import GETTING, work_folder

#: Seconds for a package to arrive, and for a new program to say its version.
PACKAGE_WITHIN_S, TRIAL_WITHIN_S = 600.0, 20.0

MIMIR = PinnedDownload(
    version="3.1.1",
    base_url="https://github.com/grafana/mimir/releases/download",
    file="mimir-{version}/mimir-{system}-{machine}",
    checksum_suffix="-sha-256",
)
"""Upstream publishes a plain program a platform, and beside each a file with its sha256."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every way needs: what to tell, where to put the program, where to work, and the environment."""

    ctx: StepContext
    bin_folder: Path
    workdir: Path
    environ: Mapping[str, str]
    release: PinnedDownload


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a store of a family; `get` returns the program, or raises InstallError."""

    family: str
    title: str
    get: Callable[[Job], Path]


def install_metrics_store(
    ctx: StepContext,
    bin_folder: Path,
    environ: Mapping[str, str],
    *,
    only: Container[str] | None = None,
    release: PinnedDownload = MIMIR,
    ways: Sequence[Way] | None = None,
) -> Path:
    """Get the first store that can be had into `bin_folder` and return its path.

    `only` limits the families. Raises InstallError `metrics-store-unavailable`, which says all that was tried, and
    CancelledError; then nothing half-made is left.
    """
    tried: list[str] = []
    chosen = [way for way in (WAYS if ways is None else ways) if only is None or way.family in only]
    with workshop(bin_folder) as workdir:
        job = Job(ctx, bin_folder, workdir, environ, release)
        if found := first_that_works(job, chosen, "a metrics store", tried):
            return found
    raise InstallError(
        "metrics-store-unavailable",
        "No metrics store could be had.",
        evidence="\n".join(tried),
        hint=f"put `mimir`, `victoria-metrics` or `prometheus` on PATH yourself, then: {RESUME}",
        retryable=True,
    )


@contextmanager
def workshop(bin_folder: Path) -> Iterator[Path]:
    """Give a folder to work in, on the same file system as `bin_folder`; raises InstallError `folder-unwritable`."""
    work = ExitStack()
    try:
        bin_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        workdir = work.enter_context(work_folder(bin_folder, GETTING))
    except OSError as error:
        quoted = shlex.quote(str(bin_folder))
        raise InstallError(
            "folder-unwritable",
            f"{bin_folder} cannot be written: {error.strerror}.",
            str(error),
            f"ls -ld {quoted}; df -h {quoted}",
        ) from error
    with work:
        yield workdir


def first_that_works(job: Job, ways: Sequence[Way], what: str, tried: list[str]) -> Path | None:
    """Return what the first way that works gives; None where none does. What went wrong is added to `tried`."""
    for way in ways:
        job.ctx.raise_if_cancelled()
        job.ctx.activity(f"getting {what}: {way.title}")
        try:
            return way.get(job)
        except InstallError as error:
            tried.append(f"{way.title}: {error.message} {error.evidence}".strip())
            job.ctx.output(tried[-1])
    return None


def package(name: str, program: str, trial: Sequence[str] = ("-version",)) -> Callable[[Job], Path]:
    """Return the way through the system's package of a name; `trial` are the arguments that try the program out."""

    def get(job: Job) -> Path:
        def run(argv: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> Completed:
            options = StartOptions(folder)
            return process.run(argv, job.ctx, environ=environ, check=False, timeout_s=PACKAGE_WITHIN_S, options=options)

        unpacked = job.workdir / name
        try:
            apt.download_and_unpack(name, unpacked, workdir=job.workdir / "apt", run=run)
        except apt.AptUnavailableError as error:
            raise InstallError("no-apt", f"{error}.") from error
        except (apt.AptError, OSError) as error:
            raise InstallError("package", f"{error}.", getattr(error, "evidence", "")) from error
        return put_in_place(job, unpacked / "usr" / "bin" / program, program, trial)

    return get


def _homebrew(job: Job) -> Path:
    brew = shutil.which("brew", path=job.environ.get("PATH", ""))
    if sys.platform != "darwin" or brew is None:
        raise InstallError("no-brew", "there is no Homebrew on this machine.")
    environ = {**job.environ, "HOMEBREW_NO_AUTO_UPDATE": "1", "HOMEBREW_NO_ENV_HINTS": "1"}
    process.run([brew, "install", "victoriametrics"], job.ctx, environ=environ, timeout_s=PACKAGE_WITHIN_S)
    prefix = process.run([brew, "--prefix", "victoriametrics"], job.ctx, environ=environ, timeout_s=60).lines[-1:]
    return put_in_place(job, Path("".join(prefix)) / "bin" / "victoria-metrics", "victoria-metrics")


def _upstream(job: Job) -> Path:
    return put_in_place(job, released(job, "mimir"), "mimir")


def released(job: Job, name: str) -> Path:
    """Download the job's release for this platform and return the file; raises InstallError."""
    system, machine = (
        sys.platform,
        {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    )
    if system not in {"linux", "darwin"} or machine not in {"amd64", "arm64"}:
        raise InstallError("no-release", f"there is no release for {system} on {machine}.")
    file = job.workdir / name
    download_checked(job.ctx, job.release, system, machine, file, job.environ)
    return file


WAYS: tuple[Way, ...] = (
    Way("victoria-metrics", "the system's package victoria-metrics", package("victoria-metrics", "victoria-metrics")),
    Way("prometheus", "the system's package prometheus", package("prometheus", "prometheus")),
    Way("victoria-metrics", "Homebrew's victoriametrics", _homebrew),
    Way("mimir", f"the release Mimir {MIMIR.version}", _upstream),
)


def put_in_place(job: Job, source: Path, name: str, trial: Sequence[str] = ("-version",)) -> Path:
    """Try a program out, and move it to its place in one step; raises InstallError when it does not run."""
    target = job.bin_folder / name
    ready = job.workdir / f"ready-{name}"
    try:
        shutil.copyfile(source, ready)
        ready.chmod(0o755)
        process.run([str(ready), *trial], job.ctx, environ=job.environ, timeout_s=TRIAL_WITHIN_S)
        with ready.open("rb") as file:
            os.fsync(file.fileno())
        ready.replace(target)
        sync_folder(job.bin_folder)
    except OSError as error:
        raise InstallError("not-in-place", f"{name} cannot be put into {job.bin_folder}: {error}.") from error
    job.ctx.notice(f"{name} is now in {job.bin_folder}")
    return target
