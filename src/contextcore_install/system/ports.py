"""Whether a TCP port of loopback can be had, and is reached without a proxy."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this machine left out of what goes through a proxy."""
    kept = dict(environ)
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in kept.get(name, "").split(",") if host]
        kept[name] = ",".join(dict.fromkeys([*hosts, LOOPBACK, "localhost"]))
    return kept


def takes_connections(port: int) -> bool:
    """Tell whether somebody listens on a port of loopback, without trying to have it."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def bind_problem(port: int) -> int:
    """Return 0 if a port of loopback is free, else the errno of trying to have it.

    A connection is tried first: if SO_REUSEADDR lets one address be bound beside another (macOS), a listener on all
    addresses would not be noticed.
    """
    if takes_connections(port):
        return errno.EADDRINUSE
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.errno or errno.EINVAL
    return 0


def free_port(near: int) -> int:
    """Return a free port to suggest, a round distance away; 0 if none is found."""
    candidates = (near + 1000 * step for step in range(1, 40))
    return next((port for port in candidates if port < 65_536 and bind_problem(port) == 0), 0)


def speaks_tls(port: int, timeout_s: float = 2.0) -> bool:
    """Tell whether what listens on a port of loopback completes a TLS handshake, whoever its certificate names.

    An engine's proxy takes connections for a container in which nothing listens yet: a handshake needs the server.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((LOOPBACK, port), timeout_s) as plain, context.wrap_socket(plain):
            return True
    except OSError:  # SSLError is one
        return False
