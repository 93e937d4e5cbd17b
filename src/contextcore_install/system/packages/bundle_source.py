"""An offline bundle as the place that an installation on this machine takes things from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from contextcore_install import __version__
from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import ProviderConfig
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.releases import MACHINES, Platform, Release, Source


def open_bundle(path: Path, key: str = "") -> BundleFile:
    """Return a bundle that is for this program and this machine, and signed by a public key if one is given.

    Raises InstallError with exit code 3, or that of a usage error.
    """
    with before_anything():
        bundle = BundleFile.open(path)
        machine = os.uname().machine
        bundle.require(__version__, sys.platform, MACHINES.get(machine, machine))
        if key:
            from contextcore_install.system.packages.bundle_signature import verify_signature

            verify_signature(bundle.manifest_bytes, bundle.signature, key)
    return bundle


def is_usable(path: Path) -> bool:
    """Tell whether this is a bundle for this program and this machine."""
    with suppress(InstallError):
        open_bundle(path)
        return True
    return False


@contextmanager
def before_anything() -> Iterator[None]:
    """Give the errors within the exit code of a refusal before anything is done."""
    try:
        yield
    except InstallError as error:
        refusal = error.exit_code is ExitCode.USAGE
        raise error if refusal else replace(error, exit_code=ExitCode.PREFLIGHT_FAILED) from error


class BundleSource:
    """The files of releases that a bundle has."""

    def __init__(self, path: Path, key: str = "") -> None:
        self._path, self._key = path, key

    @cached_property
    def _bundle(self) -> BundleFile:
        return open_bundle(self._path, self._key)

    def get(self, ctx: StepContext, release: Release, platform: Platform, target: Path) -> None:
        """Write upstream's file of a release to `target`, checked. Raises InstallError, OSError."""
        bundle = self._bundle
        entries = (*bundle.entries("release"), *bundle.entries("tool"))
        entry = next((item for item in entries if (item.name, item.version) == (release.name, release.version)), None)
        if entry is None:
            message = f"{self._path} has no {release.name} {release.version}."
            raise InstallError("bundle-lacks", message, hint="take a bundle that was made with it, or put it on PATH")
        if release.digest(platform) not in {"", entry.sha256}:
            message = f"{self._path} has another {release.name} {release.version} than the one that was released."
            evidence, hint = f"sha256 in the bundle {entry.sha256}", "get the file again, or make another one"
            raise InstallError("bundle-unusable", message, evidence, hint)
        ctx.activity(f"taking {release.name} {release.version} from {self._path.name}")
        bundle.copy_checked(entry, target)


def source_of(config: ProviderConfig) -> Source:
    """Return where an installation takes releases from."""
    if config.bundle:
        return BundleSource(config.bundle, str(config.options.get("bundle_key", "")))
    from contextcore_install.system.packages.download import Upstream

    return Upstream(config.environ, config.mirror)
