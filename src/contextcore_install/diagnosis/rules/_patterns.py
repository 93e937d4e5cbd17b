"""Pieces of messages that rules of several subjects look for."""

from __future__ import annotations

ADDRESS_IN_USE = r"address already in use|EADDRINUSE|Only one usage of each socket address"
BAD_CONFIG = (
    r"field \S+ not found in type|error (loading|parsing) config|failed parsing config|yaml: (line|unmarshal)"
    r"|could not perform the initial load successfully|failed to parse .*\.ini|invalid config(uration)?\b"
)
DENIED = r"permission denied|operation not permitted|read-only file system|EACCES"
NO_SPACE = r"no space left on device|disk quota exceeded|not enough (disk|free) space"
WRONG_MACHINE = r"exec format error|cannot execute binary file|bad CPU type"
CGROUP_V1_REFUSED = (
    r"requires cgroup v2|cgroup v1 support (is unsupported|has been removed)"
    r"|configured to not run on a host using cgroup v1"
)

# What container engines, containerd and registries say of an image.
RATE_LIMITED = r"toomanyrequests|rate limit|\b429\b"
NO_SUCH_PLATFORM = r"no match(ing manifest)? for (linux|platform)|does not match the (specified|detected host) platform"
CLOCK_BEHIND = r"certificate has expired or is not yet valid: current time (?P<now>\S+) is before"
"""Whoever says it has a clock that is behind: what a virtual machine has after its host has slept."""
EXPIRED = r"certificate has expired or is not yet valid"
UNTRUSTED = r"x509:|certificate signed by unknown authority|failed to verify certificate"
NO_PROXY = r"proxyconnect|proxy authentication required"
NO_NAME = r"lookup \S+.*(no such host|server misbehaving|i/o timeout)|temporary failure in name resolution"
NO_IMAGE = (
    r"not found|manifest unknown|pull access denied|does not exist|repository .* denied|InvalidImageName"
    r"|invalid reference|unauthorized|couldn't parse image"
)
"""The registry has no such image, or gives it to others only: waiting does not heal that."""
