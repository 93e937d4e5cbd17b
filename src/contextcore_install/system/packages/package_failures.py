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
    """What an error in installing means to the user; `pattern` finds it in what installers write."""

    code: str
    message: str
    hint: str
    pattern: str = ""


PYTHON = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform} {platform.machine()}"
NETWORK = "runtime-network"
"""The only cause that may go away by itself."""
SHOWN = 160  # characters of evidence

#: The first that matches is the cause: a full disk or a lost network makes installers complain of more besides.
CAUSES = (
    Cause(
        "runtime-disk-full",
        "The disk is full.",
        "free some space",
        r"No space left on device|os error 28\b|Disk quota exceeded|not have enough free space",
    ),
    Cause(
        "runtime-hash-mismatch",
        "A downloaded package is not the one that was pinned, so it was not installed.",
        "look for a proxy or mirror that alters downloads, or set PIP_NO_CACHE_DIR=1",
        r"DO NOT MATCH THE HASHES|Hash mismatch|Hash Sum mismatch",
    ),
    Cause(
        "runtime-not-writable",
        "A folder cannot be written.",
        "make it writable, or set CONTEXTCORE_HOME to one that is",
        r"Read-only file system|Permission denied",
    ),
    Cause(
        "runtime-certificate",
        "The package index shows a certificate that this machine does not trust.",
        "install the system's ca-certificates, or set PIP_CERT to your proxy's certificate",
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate|UnknownIssuer",
    ),
    Cause(
        "runtime-proxy",
        "The proxy or the package index refuses the connection.",
        "check HTTPS_PROXY and PIP_INDEX_URL and their passwords",
        r"\b40[137] (?:Client Error|Unauthorized|Forbidden)|\b407\b|Tunnel connection failed|ProxyError",
    ),
    Cause(
        NETWORK,
        "The server that packages come from cannot be reached.",
        "check the network, or set HTTPS_PROXY or PIP_INDEX_URL",
        r"Failed to establish a new connection|name resolution|Name or service not known"
        r"|nodename nor servname|Could(?: not|n't) (?:resolve|connect)|Connection refused|unreachable"
        r"|[Tt]imed? ?out|dns error|error sending request|Connection (?:reset|aborted|failed)|Failed to fetch",
    ),
    Cause(
        "runtime-no-package",
        f"The package index in use does not hold a package that this program needs, for {PYTHON}.",
        "check PIP_INDEX_URL, PIP_NO_INDEX and pip's configuration, or use another Python",
        r"No matching distribution|satisfies the requirement|not found in the (?:package registry|provided)"
        r"|No solution found|has no wheels|is not a supported wheel|Unable to locate package",
    ),
)

#: What the system itself says if a folder cannot be made or filled.
SYSTEM_CAUSES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), CAUSES[0]),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), CAUSES[2]),
}


def explain(program: str, output: str) -> InstallError:
    """Return the error that says what stood in the way, by the output of an installer that failed."""
    for cause in CAUSES:
        if matches := [line for line in output.splitlines() if re.search(cause.pattern, line)]:
            line = matches[-1]
            found = re.search(cause.pattern, line)
            start = found.start() if found and len(line) > SHOWN else 0
            excerpt = ("… " if start else "") + line[start:][:SHOWN].strip()
            return _failure(cause, f"{program} said: {excerpt}")
    unknown = Cause("runtime-failed", f"{program} could not install this program's packages.", "")
    errors = [line for line in output.splitlines() if re.match(r"E:|ERROR|error", line)]
    return _failure(unknown, errors[0] if errors else last_line(output) or f"{program} said nothing")


def explain_os_error(error: OSError, folder: Path) -> InstallError:
    """Return the error for a folder that could not be made or filled."""
    unknown = Cause("runtime-folder", f"{folder} cannot be prepared.", "move what is in the way")
    return _failure(SYSTEM_CAUSES.get(error.errno or 0, unknown), f"{error.filename or folder}: {error.strerror}")


def _failure(cause: Cause, evidence: str) -> InstallError:
    retryable = cause.code == NETWORK
    return InstallError(cause.code, cause.message, evidence, cause.hint, retryable, ExitCode.PREFLIGHT_FAILED)
