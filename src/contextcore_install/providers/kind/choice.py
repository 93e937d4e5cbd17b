"""Which container engine it is: the one that the cluster was made in, as no other one knows of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.engine import Engine
from contextcore_install.providers.kind.owner import Owner
from contextcore_install.tools.capture import capture

ENGINES = ("docker", "podman", "nerdctl")
CHOICE = "KIND_EXPERIMENTAL_PROVIDER"
"""kind's own variable by which an engine is chosen."""
#: Seconds for an engine to say that it is there.
ANSWERS_WITHIN_S = 3.0


def choose_engine(environ: Mapping[str, str], owner: Owner | None) -> Engine:
    """Return kind's engine: the noted one, else the one asked for, else the first that answers, else the first.

    One that is noted has our cluster, so no other stands in for it. Where another is asked for, the engine raises
    InstallError `engine-contradicts` for whatever it is asked.
    """
    asked, noted = environ.get(CHOICE, ""), owner.engine if owner else ""
    if noted in ENGINES:
        contradicts = asked in ENGINES and asked != noted
        return Engine(
            noted, {**environ, CHOICE: noted}, _contradiction(noted, asked) if contradicts else None
        )
    if asked in ENGINES:
        return Engine(asked, environ)
    there = [name for name in ENGINES[:2] if shutil.which(name, path=environ.get("PATH", os.defpath))]
    for name in there if len(there) > 1 else ():
        if _answers(name, environ):
            return Engine(name, {**environ, CHOICE: name})
    name = there[0] if there else ENGINES[0]
    return Engine(name, {**environ, CHOICE: name} if name != "docker" else environ)


def _contradiction(noted: str, asked: str) -> InstallError:
    return InstallError(
        "engine-contradicts",
        f"The cluster was made in {noted}, and {CHOICE} asks for {asked}.",
        hint=f"unset {CHOICE}",
    )


def engine_answers(environ: Mapping[str, str]) -> bool:
    """Tell within a few seconds whether a container engine is there and answers."""
    names = [name for name in ENGINES[:2] if shutil.which(name, path=environ.get("PATH", os.defpath))]
    return any(_answers(name, environ) for name in names)


def _answers(name: str, environ: Mapping[str, str]) -> bool:
    # `ps` asks the daemon and nothing else; `docker info` and `version` may end well without one.
    try:
        done = capture([name, "ps", "--quiet", "--last", "1"], environ=environ, timeout_s=ANSWERS_WITHIN_S)
    except InstallError:
        return False
    return done.exit_code == 0
