"""The container engine that kind works with, through its command, and which one that is."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.interfaces import StepContext
from contextcore_install.diagnosis.diagnose import Evidence, explain
from contextcore_install.diagnosis.failures import engine_failure
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kind.cluster import Owner
from contextcore_install.providers.kind.endpoint import EngineEndpoint, Product, endpoint_of, product_of
from contextcore_install.providers.kind.engine_info import CLUSTER_LABEL, EngineInfo, Node, read_info_text, read_nodes
from contextcore_install.system import process
from contextcore_install.system.process import Captured, capture

ENGINES = ("docker", "podman", "nerdctl")
CHOICE = "KIND_EXPERIMENTAL_PROVIDER"  # kind's own variable by which an engine is chosen
#: Seconds for the engine to answer a question, for which one that did not is asked nothing more, and to be found by.
ASK_S, SILENT_S, ANSWERS_WITHIN_S = 20.0, 30.0, 3.0
_silent: dict[tuple[str | None, str], tuple[float, InstallError]] = {}
"""Engines that did not answer, with the moment and the error: a run makes several objects of the same engine."""
_IN_A_CONTAINER = frozenset({"exec", "cp", "logs"})  # a container may hang in these while its engine answers
_GONE = re.compile(r"no such (?:container|object)", re.IGNORECASE)  # moby/api and podman/libpod/define/errors.go


class ContainerEngine:
    """The engine's command. Nothing is started before it is asked for; `refused` is why it is asked nothing."""

    def __init__(self, name: str, environ: Mapping[str, str], refused: InstallError | None = None) -> None:
        self.name = name
        self.environ = environ
        self._refused = refused

    @cached_property
    def endpoint(self) -> EngineEndpoint:
        return endpoint_of(self.name, self.environ)

    def ask(self, *arguments: str, timeout_s: float = ASK_S, ctx: StepContext | None = None) -> Captured:
        """Run a command of the engine and return how it ended; raises InstallError if it is missing or silent.

        One that hangs is not asked again for a while: else each port and node would wait for it.
        """
        key = shutil.which(self.name, path=self.environ.get("PATH", os.defpath)), self.endpoint.url
        silent_at, silence = _silent.get(key, (float("-inf"), None))
        if error := self._refused or (silence if time.monotonic() - silent_at < SILENT_S else None):
            raise error
        try:
            return capture([self.name, *arguments], environ=self.environ, timeout_s=timeout_s, ctx=ctx)
        except InstallError as error:
            if error.code == "command-timeout" and arguments[0] in _IN_A_CONTAINER:
                raise
            why = replace(engine_failure([error.message], self.facts(), error.code).error(), retryable=error.retryable)
            if error.code == "command-timeout":
                _silent[key] = (time.monotonic(), why)
            raise why from error

    def call(self, *arguments: str, timeout_s: float = ASK_S, ctx: StepContext | None = None) -> str:
        done = self.ask(*arguments, timeout_s=timeout_s, ctx=ctx)
        if done.exit_code != 0:
            raise self._failure(done)
        return done.stdout

    def printed(self, *arguments: str) -> str:
        """Return what a command of the engine printed; empty if it failed."""
        done = self.ask(*arguments)
        return done.stdout if done.exit_code == 0 else ""

    def _failure(self, done: Captured) -> InstallError:
        lines = done.stderr.splitlines() or [done.stdout[:400]]
        return replace(engine_failure(lines, self.facts(lines)).error(), retryable=True)

    def product(self, output: Sequence[str] = (), info: EngineInfo | None = None) -> Product:
        texts = (*output, self.endpoint.url, str(self.endpoint.socket or ""))
        system = (info.system, info.host) if info is not None else ()
        return product_of(self.name, texts, self.environ, system=system)

    def facts(self, output: Sequence[str] = ()) -> dict[str, str]:
        """Return the facts for the rules about the engine; `output` is what it, or a program that uses it, printed."""
        product = self.product(output)
        return {
            "engine": self.name,
            "product": product.name,
            "start": product.start,
            "restart": product.restart,
            "trust": product.trust or f"{self.name} info",
            "chosen_by": self.endpoint.chosen_by or "nothing else was chosen",
            "local": self.endpoint.local or "docker context use default",
        }

    def trouble(self) -> tuple[EngineInfo | None, Finding | None]:
        """Return what the engine says about itself, or why it does not."""
        try:
            done = self.ask("info", "--format", "{{json .}}")
        except InstallError as why:
            return None, Finding(why.code, why.message, why.evidence, Remedy(why.hint, why.hint))
        info, problems = read_info_text(done.stdout)
        if done.exit_code != 0 or problems or info is None:
            lines = [*problems, *done.stderr.splitlines()]
            return None, engine_failure(lines, self.facts(lines)).finding
        return info, None

    def identity(self) -> str:
        """Return the engine's own unique id; empty if it has none (Podman)."""
        return self.printed("info", "--format", "{{.ID}}").strip() if self.name == "docker" else ""

    def nodes(self, cluster: str, noted: Sequence[str] = ()) -> list[Node]:
        """Return the containers that are nodes of exactly this cluster; `noted` are the ids of all that it had.

        Raises InstallError, also if there are some and the engine does not describe them: a container that may be there
        is never taken for gone.
        """
        if noted:
            done = self.ask("inspect", "--type", "container", *noted)
            found = read_nodes(done.stdout)
            if done.exit_code == 0 and len(found) == len(noted):
                return found
        label = f"label={CLUSTER_LABEL}={cluster}"
        ids = self.call("ps", "--all", "--quiet", "--no-trunc", "--filter", label).split()
        if not ids:
            return []
        done = self.ask("inspect", "--type", "container", *ids)
        found = read_nodes(done.stdout)
        complaints = [line for line in done.stderr.splitlines() if line.strip()]
        only_gone = bool(complaints) and all(map(_GONE.search, complaints))  # they have gone since they were listed
        if not found or (done.exit_code != 0 and not only_gone):
            raise self._failure(done)
        return found

    def has_image(self, image: str) -> bool:
        return self.ask("image", "inspect", "--format", "{{.Id}}", image).exit_code == 0

    @property
    def network(self) -> str:
        """The network that kind puts its nodes on (pkg/cluster/internal/providers/docker/provider.go)."""
        return self.environ.get("KIND_EXPERIMENTAL_DOCKER_NETWORK") or "kind"

    def has_network(self) -> bool:
        return self.ask("network", "inspect", self.network).exit_code == 0

    def remove_unused_network(self) -> None:
        """Remove the network that kind makes and leaves; the engine refuses if something is on it."""
        self.ask("network", "rm", self.network)

    def start(self, node: Node, ctx: StepContext) -> None:
        verb = "unpause" if node.state == "paused" else "start"
        process.run([self.name, verb, node.name], ctx, environ=self.environ, timeout_s=60)

    def restart(self, node: Node, ctx: StepContext) -> None:
        process.run([self.name, "restart", node.name], ctx, environ=self.environ, timeout_s=90)


def choose_engine(environ: Mapping[str, str], owner: Owner | None) -> ContainerEngine:
    """Return kind's engine: the noted one, which has our cluster, else the one asked for, that answers, or the first.

    It answers all with `engine-contradicts` if another one is asked for, and `engine-remote` on another machine.
    """
    asked, noted = environ.get(CHOICE, ""), owner.engine if owner else ""
    if noted in ENGINES:
        name, environ = noted, {**environ, CHOICE: noted}
        if asked in ENGINES and asked != noted:
            message = f"The cluster was made in {noted}, and {CHOICE} asks for {asked}."
            refused = InstallError("engine-contradicts", message, hint=f"unset {CHOICE}")
            return ContainerEngine(name, environ, refused)
    elif asked in ENGINES:
        name = asked
    else:
        installed = _installed(environ)
        answering = next((name for name in installed if _answers(name, environ)), "") if len(installed) > 1 else ""
        name = answering or next(iter(installed), ENGINES[0])
        environ = {**environ, CHOICE: name} if answering or name != "docker" else environ
    endpoint, remote = endpoint_of(name, environ), None
    if host := endpoint.remote_host:
        facts = {"remote_host": host, "chosen_by": endpoint.chosen_by, "local": endpoint.local}
        remote = explain(Subject.MACHINE, Evidence("machine", [endpoint.shown], facts=facts)).error()
    return ContainerEngine(name, environ, remote)


def nodes_of(engine: ContainerEngine, cluster: str, owner: Owner | None) -> list[Node]:
    """Return the containers of a cluster; raises `engine-contradicts` if they are in another engine.

    An engine of another identity at the same address was only reset.
    """
    nodes = engine.nodes(cluster, owner.nodes if owner else ())
    if nodes or owner is None or not owner.complete or not owner.engine_id:
        return nodes
    here = engine.endpoint.shown
    if here == owner.engine_at or engine.identity() in {"", owner.engine_id}:
        return nodes
    made = f"The cluster {cluster} was made in the container engine at {owner.engine_at}"
    message = f"{made}, and {engine.name} leads to another one, at {here}."
    hint = f"export DOCKER_HOST={owner.engine_at}"
    raise InstallError("engine-contradicts", message, engine.endpoint.chosen_by, hint)


def engine_answers(environ: Mapping[str, str]) -> bool:
    """Tell within a few seconds whether a container engine of this machine is there and answers."""
    return any(_answers(name, environ) for name in _installed(environ))


def _installed(environ: Mapping[str, str]) -> list[str]:
    return [name for name in ENGINES[:2] if shutil.which(name, path=environ.get("PATH", os.defpath))]


def _answers(name: str, environ: Mapping[str, str]) -> bool:
    if endpoint_of(name, environ).remote_host:
        return False
    # `ps` asks the daemon and nothing else; `docker info` and `version` may end well without one.
    argv = [name, "ps", "--quiet", "--last", "1"]
    with suppress(InstallError):
        return capture(argv, environ=environ, timeout_s=ANSWERS_WITHIN_S).exit_code == 0
    return False
