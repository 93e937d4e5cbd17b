"""An offline bundle as the place that an installation on this machine takes things from."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contextcore_install import __version__
from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system.packages.bundle_file import BundleFile

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def open_bundle(path: Path) -> BundleFile:
    """Return a bundle that is for this program and this machine. Raises InstallError (exit code 3)."""
    with before_anything():
        bundle = BundleFile.open(path)
        machine = os.uname().machine
        bundle.require(__version__, sys.platform, MACHINES.get(machine, machine))
    return bundle


@contextmanager
def before_anything() -> Iterator[None]:
    """Give the errors within the exit code of a refusal before anything is done."""
    try:
        yield
    except InstallError as error:
        refusal = error.exit_code is ExitCode.USAGE
        raise error if refusal else replace(error, exit_code=ExitCode.PREFLIGHT_FAILED) from error
