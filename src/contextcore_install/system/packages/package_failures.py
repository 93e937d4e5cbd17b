"""What stood in the way of installing packages, read from what the installer or the system said."""

from __future__ import annotations

import errno
import platform
import re
import sys
from pathlib import Path

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.core.tables import read_table
from contextcore_install.system.packages.apt import last_line

SHOWN = 160  # characters of evidence
PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform} {platform.machine()}"


@dataclass(frozen=True, slots=True)
class Cause:
    """What an error in installing means to the user; `pattern` finds it in what installers write, `errors` by errno."""

    code: str
    message: str
    hint: str = ""
    pattern: str = ""
    errors: tuple[str, ...] = ()
    retryable: bool = False

    def error(self, evidence: str) -> InstallError:
        message = self.message.replace("{python}", PYTHON)
        return InstallError(self.code, message, evidence, self.hint, self.retryable, ExitCode.PREFLIGHT_FAILED)


def causes() -> list[Cause]:
    return [Cause(**cause) for cause in read_table(Path(__file__).with_suffix(".toml"))["cause"]]


def explain(program: str, output: str) -> InstallError:
    """Return the error that says what stood in the way, by the output of an installer that failed."""
    for cause in causes():
        if matches := [line for line in output.splitlines() if re.search(cause.pattern, line)]:
            line = matches[-1]
            found = re.search(cause.pattern, line)
            start = found.start() if found and len(line) > SHOWN else 0
            return cause.error(f"{program} said: {'… ' if start else ''}{line[start:][:SHOWN].strip()}")
    errors = [line for line in output.splitlines() if re.match(r"E:|ERROR|error", line)]
    evidence = errors[0] if errors else last_line(output) or f"{program} said nothing"
    return Cause("runtime-failed", f"{program} could not install this program's packages.").error(evidence)


def explain_os_error(error: OSError, folder: Path) -> InstallError:
    """Return the error for a folder that could not be made or filled."""
    name = errno.errorcode.get(error.errno or 0, "")
    unknown = Cause("runtime-folder", f"{folder} cannot be prepared.", "move what is in the way")
    cause = next((cause for cause in causes() if name in cause.errors), unknown)
    return cause.error(f"{error.filename or folder}: {error.strerror}")
