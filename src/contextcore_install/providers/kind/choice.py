"""Which container engine it is: the one that the cluster was made in, as no other one knows of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from contextcore_install.core.errors import InstallError
from contextcore_install.diagnosis.diagnose import diagnose
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.endpoint import EngineEndpoint, endpoint_of
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kind.owner import Owner
from contextcore_install.system.capture import capture

ENGINES = ("docker", "podman", "nerdctl")
CHOICE = "KIND_EXPERIMENTAL_PROVIDER"
"""kind's own variable by which an engine is chosen."""
#: Seconds for an engine to say that it is there.
ANSWERS_WITHIN_S = 3.0


def choose_engine(environ: Mapping[str, str], owner: Owner | None) -> ContainerEngine:
    """Return kind's engine: the noted one, else the one asked for, else the first that answers, else the first.

    One that is noted has our cluster, so no other stands in for it. The engine raises InstallError for whatever it is
    asked: `engine-contradicts` if another one is asked for, and `engine-remote` if it is on another machine.
    """
    asked, noted = environ.get(CHOICE, ""), owner.engine if owner else ""
    if noted not in ENGINES:
        name, environ = (asked, environ) if asked in ENGINES else _found(environ)
        return ContainerEngine(name, environ, _remote(endpoint_of(name, environ)))
    environ = {**environ, CHOICE: noted}
    if asked in ENGINES and asked != noted:
        return ContainerEngine(noted, environ, _contradiction(noted, asked))
    return ContainerEngine(noted, environ, _remote(endpoint_of(noted, environ)))


def _found(environ: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the first engine that answers, else the first, and the environment in which kind uses it."""
    there = [name for name in ENGINES[:2] if shutil.which(name, path=environ.get("PATH", os.defpath))]
    for name in there if len(there) > 1 else ():
        if _answers(name, environ):
            return name, {**environ, CHOICE: name}
    name = there[0] if there else ENGINES[0]
    return name, {**environ, CHOICE: name} if name != "docker" else environ


def _remote(endpoint: EngineEndpoint) -> InstallError | None:
    """Return the error for an engine on another machine; None for one on this."""
    host = endpoint.remote_host
    facts = {"remote_host": host, "chosen_by": endpoint.chosen_by, "local": endpoint.local}
    found = diagnose(Subject.MACHINE, Evidence("machine", [endpoint.shown], facts=facts)) if host else None
    return found.error() if found else None


def nodes_of(engine: ContainerEngine, cluster: str, owner: Owner | None) -> list[Node]:
    """Return the containers of a cluster.

    Raises InstallError: `engine-contradicts` if there are none as the command leads to another engine than the one
    that the cluster was made in. One at the same address was only set up anew.
    """
    nodes = engine.nodes(cluster)
    if nodes or owner is None or not owner.complete or not owner.engine_id:
        return nodes
    here = engine.endpoint.shown
    if here == owner.engine_at or engine.identity() in {"", owner.engine_id}:
        return nodes
    raise InstallError(
        "engine-contradicts",
        f"The cluster {cluster} was made in the container engine at {owner.engine_at}, and {engine.name} leads to"
        f" another one, at {here}.",
        engine.endpoint.chosen_by,
        f"export DOCKER_HOST={owner.engine_at}",
    )


def _contradiction(noted: str, asked: str) -> InstallError:
    return InstallError(
        "engine-contradicts", f"The cluster was made in {noted}, and {CHOICE} asks for {asked}.", hint=f"unset {CHOICE}"
    )


def engine_answers(environ: Mapping[str, str]) -> bool:
    """Tell within a few seconds whether a container engine of this machine is there and answers."""
    names = [name for name in ENGINES[:2] if shutil.which(name, path=environ.get("PATH", os.defpath))]
    return any(_answers(name, environ) for name in names)


def _answers(name: str, environ: Mapping[str, str]) -> bool:
    if endpoint_of(name, environ).remote_host:
        return False
    # `ps` asks the daemon and nothing else; `docker info` and `version` may end well without one.
    try:
        done = capture([name, "ps", "--quiet", "--last", "1"], environ=environ, timeout_s=ANSWERS_WITHIN_S)
    except InstallError:
        return False
    return done.exit_code == 0
