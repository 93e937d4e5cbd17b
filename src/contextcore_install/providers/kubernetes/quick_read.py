"""Lists of Kubernetes' own kinds, read through one `kubectl proxy`.

`kubectl get` reads all that it has cached of the API again for each kind that it is asked for, and takes three times as
long. The proxy listens on a socket that only this user reaches, while it is read, and for GET.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from tempfile import gettempdir
from threading import Timer
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.system.http import SocketConnection
from contextcore_install.system.lock import work_folder

WITHIN_S = 3.0  # seconds, after which it is read as usual, which says what is wrong
MOST_BYTES = 64 * 1024 * 1024  # of a list


def read_lists(
    kubectl: Kubectl, resources: Sequence[str], without_namespace: Mapping[str, bool], namespace: str
) -> list[Manifest] | None:
    """Return the objects of resources in a namespace, read one after the other; None if any cannot be read so."""
    until = time.monotonic() + WITHIN_S
    try:
        with work_folder(Path(gettempdir()), "contextcore-api-") as folder:
            place = f"{folder}/api"
            with kubectl.follow(
                "proxy", f"--unix-socket={place}", "--accept-paths=^/apis?/", "--reject-methods=^[^G]"
            ) as proxy:
                ending = Timer(WITHIN_S, proxy.end)
                ending.start()
                try:
                    next(proxy.lines())
                    paths = (_path(each, "" if without_namespace.get(each) else namespace) for each in resources)
                    with closing(SocketConnection(place)) as connection:
                        return [item for path in paths for item in _list(connection, path, until)]
                finally:
                    ending.cancel()
    except (OSError, HTTPException, ValueError, LookupError, TypeError, StopIteration, RuntimeError, InstallError):
        return None


def _path(resource: str, namespace: str) -> str:
    """Return where a list is, by kubectl's name for it: KIND, or KIND.VERSION.GROUP."""
    kind, _, rest = resource.partition(".")
    version, _, group = rest.partition(".")
    prefix = f"/apis/{group}/{version}" if group else "/api/v1"
    plural = kind if kind.endswith("s") else f"{kind}s"
    return f"{prefix}/namespaces/{namespace}/{plural}" if namespace else f"{prefix}/{plural}"


def _list(connection: SocketConnection, path: str, until: float) -> Iterator[Manifest]:
    response, content = connection.exchange("GET", path, until, MOST_BYTES, headers={"Accept": "application/json"})
    if response.status != 200:
        raise ValueError(f"{path}: {response.status}")
    document: dict[str, Any] = json.loads(content)
    about = {"kind": str(document["kind"]).removesuffix("List"), "apiVersion": document["apiVersion"]}
    for item in document["items"]:
        yield Manifest.checked({**about, **item})
