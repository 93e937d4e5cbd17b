"""Waits until a cluster's nodes are Ready, and helps one that does not get so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.diagnose import explain
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers._kubectl.client import Kubectl
from contextcore_install.providers.kind.comeback import has_come_back
from contextcore_install.providers.kind.engine import Engine
from contextcore_install.providers.kind.look import Look, Sight, conditions_of
from contextcore_install.tools import process

#: Seconds for the nodes to be Ready once they run, and after which one that is not is restarted, once.
READY_S, RESTART_AFTER_S = 180.0, 60.0
#: Seconds between two looks at nodes that boot, and for which one that is not Ready is watched between them.
LOOK_S, WATCH_S = 0.3, 30.0


class Readiness:
    """Knows when the nodes are there."""

    def __init__(self, cluster: str, engine: Engine, kubectl: Kubectl, look: Look) -> None:
        self._cluster = cluster
        self._engine = engine
        self._kubectl = kubectl
        self._look = look

    def wait(self, ctx: StepContext) -> Sight:
        """Wait until all nodes are Ready and have said so since they were started. Raises `nodes-not-ready`."""
        ctx.activity("waiting until the nodes are ready")
        began, restarted = time.monotonic(), False
        while True:
            sight = self._look.see(fresh=True)
            told = bool(sight.nodes) and sight.running and sight.api is None and not sight.unready
            if told and has_come_back(sight.nodes, self._renewed):
                return sight
            waited = time.monotonic() - began
            if (
                waited > RESTART_AFTER_S
                and not restarted
                and sight.owner is not None
                and sight.owner.complete
            ):
                restarted = True
                self._restart(sight, ctx)
            if waited > READY_S:
                raise self._not_ready(sight)
            if not (sight.unready and sight.api is None and self._get_ready(ctx)):
                ctx.wait(LOOK_S)

    def _get_ready(self, ctx: StepContext) -> bool:
        """Watch until every node is Ready, and tell whether they are: looking all the time would slow their boot."""
        wait = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={WATCH_S:g}s")
        return self._kubectl.attempt(*wait, ctx=ctx, timeout_s=WATCH_S + 10).exit_code == 0

    def _restart(self, sight: Sight, ctx: StepContext) -> None:
        names = sight.unready or [node.name for node in sight.nodes if node.is_control_plane]
        for name in names:
            ctx.notice(f"{name} runs and is not ready; its container is restarted")
            process.run([self._engine.name, "restart", name], ctx, environ=self._engine.environ, timeout_s=90)

    def _renewed(self) -> Mapping[str, str]:
        """Return when each node, and what manages them, last said that it lives (by Leases, renewed within 10 s)."""
        try:
            leases = self._kubectl.items("leases.coordination.k8s.io", "--all-namespaces")
        except InstallError:
            return {}
        return {
            item["metadata"]["name"]: str(item.get("spec", {}).get("renewTime", ""))
            for item in leases
            if item["metadata"].get("namespace") in {"kube-node-lease", "kube-system"}
        }

    def _not_ready(self, sight: Sight) -> InstallError:
        api = f"{sight.api.message}\n{sight.api.evidence}" if sight.api else ""
        names = [node.name for node in sight.nodes] if sight.api else sight.unready
        facts = {
            "cluster": self._cluster,
            "engine": self._engine.name,
            "seconds": f"{READY_S:g}",
            "what": "its API does not answer" if sight.api else f"not ready: {', '.join(names)}",
            "node": " ".join(names),
        }
        lines = [*api.splitlines(), *conditions_of(sight), *self._kubelet(sight).splitlines()]
        return explain(Subject.NODE, Evidence("node", lines, facts=facts)).error()

    def _kubelet(self, sight: Sight) -> str:
        """Return the end of what the kubelet of a node that is not ready says."""
        name = next(iter(sight.unready), "")
        with suppress(InstallError):
            said = ("journalctl", "-u", "kubelet", "--no-pager", "-n", "8", "-o", "cat")
            return self._engine.ask("exec", name, *said).stdout
        return ""
