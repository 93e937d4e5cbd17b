"""What stood in the way of installing packages, read from what the installer or the system said."""

from __future__ import annotations

import errno
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system.packages.apt import last_line


class Cause(NamedTuple):
    """A text that installers write, and what it means to the user."""

    pattern: str
    code: str
    message: str
    hint: str
    retryable: bool = False


PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform} {platform.machine()}"

#: The first that matches is the cause: a full disk or a lost network makes installers complain of more besides.
CAUSES = (
    Cause(
        r"No space left on device|os error 28\b|Disk quota exceeded|not have enough free space",
        "runtime-disk-full",
        "The disk is full.",
        "free some space",
    ),
    Cause(
        r"DO NOT MATCH THE HASHES|Hash mismatch|Hash Sum mismatch",
        "runtime-hash-mismatch",
        "A downloaded package is not the one that was pinned, so it was not installed.",
        "look for a proxy or mirror that alters downloads, or set PIP_NO_CACHE_DIR=1",
    ),
    Cause(
        r"Read-only file system|Permission denied",
        "runtime-not-writable",
        "A folder cannot be written.",
        "make it writable, or set CONTEXTCORE_HOME to one that is",
    ),
    Cause(
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate|UnknownIssuer",
        "runtime-certificate",
        "The package index shows a certificate that this machine does not trust.",
        "install the system's ca-certificates, or set PIP_CERT to your proxy's certificate",
    ),
    Cause(
        r"\b40[137] (?:Client Error|Unauthorized|Forbidden)|\b407\b|Tunnel connection failed|ProxyError",
        "runtime-proxy",
        "The proxy or the package index refuses the connection.",
        "check HTTPS_PROXY and PIP_INDEX_URL and their passwords",
    ),
    Cause(
        r"Failed to establish a new connection|name resolution|Name or service not known"
        r"|nodename nor servname|Could(?: not|n't) (?:resolve|connect)|Connection refused|unreachable"
        r"|[Tt]imed? ?out|dns error|error sending request|Connection (?:reset|aborted|failed)|Failed to fetch",
        "runtime-network",
        "The server that packages come from cannot be reached.",
        "check the network, or set HTTPS_PROXY or PIP_INDEX_URL",
        retryable=True,
    ),
    Cause(
        r"No matching distribution|satisfies the requirement|not found in the (?:package registry|provided)"
        r"|No solution found|has no wheels|is not a supported wheel|Unable to locate package",
        "runtime-no-package",
        f"The package index in use does not hold a package that this program needs, for {PYTHON}.",
        "check PIP_INDEX_URL, PIP_NO_INDEX and pip's configuration, or use another Python",
    ),
)

#: Characters of evidence that are shown.
SHOWN = 160

#: What the system itself says when a folder cannot be made or filled.
SYSTEM_CAUSES = {
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
    errno.EROFS: "Read-only file system",
    errno.EACCES: "Permission denied",
    errno.EPERM: "Permission denied",
}


def explain(program: str, output: str) -> InstallError:
    """Return the error that says what stood in the way, by the output of an installer that failed."""
    for cause in CAUSES:
        if matching := [line for line in output.splitlines() if re.search(cause.pattern, line)]:
            return failure(cause, f"{program} said: {around(cause.pattern, matching[-1])}")
    unknown = Cause("", "runtime-failed", f"{program} could not install this program's packages.", "")
    errors = [line for line in output.splitlines() if re.match(r"E:|ERROR|error", line)]
    return failure(unknown, errors[0] if errors else last_line(output) or f"{program} said nothing")


def around(pattern: str, line: str) -> str:
    """Return `line`, or of a long one the part that begins a little before `pattern` matches."""
    found = re.search(pattern, line)
    start = found.start() if found and len(line) > SHOWN else 0
    return ("… " if start else "") + line[start:][:SHOWN].strip()


def explain_os_error(error: OSError, folder: Path) -> InstallError:
    """Return the error for a folder that could not be made or filled."""
    seen = f"{error.filename or folder}: {error.strerror}"
    known = SYSTEM_CAUSES.get(error.errno or 0)
    for cause in CAUSES:
        if known and re.search(cause.pattern, known):
            return failure(cause, seen)
    unknown = Cause("", "runtime-folder", f"{folder} cannot be prepared.", "move what is in the way")
    return failure(unknown, seen)


def failure(cause: Cause, evidence: str) -> InstallError:
    """Return `cause` as an error of the preflight, with what was seen."""
    return InstallError(cause.code, cause.message, evidence, cause.hint, cause.retryable, ExitCode.PREFLIGHT_FAILED)
