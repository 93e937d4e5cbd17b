"""What a cluster's nodes say of themselves, asked through the engine, past kubectl's configuration on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.providers.kind.engine import ContainerEngine, Node
from contextcore_install.providers.kubernetes.client import items_of

# The API server's certificate is valid for localhost (kind: pkg/cluster/internal/kubeadm/config.go), which a node
# resolves without the network; its own name it does not.
_NODES = (
    "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--server=https://localhost:6443", "--request-timeout=5s",
    "get", "nodes", "-o", "json",
)  # fmt: skip
_HEALTH = """
for unit in containerd kubelet; do
    state=$(systemctl is-active "$unit")
    [ "$state" = active ] || echo "$unit is $state"
done
if command -v ctr >/dev/null && ! timeout 10 ctr version >/dev/null 2>&1; then echo "containerd does not answer"; fi
if command -v curl >/dev/null && ! timeout 10 curl -fsS -o /dev/null http://localhost:10248/healthz 2>/dev/null; then
    echo "the kubelet does not call itself healthy"
fi
true
"""
"""Prints what is sick. The kubelet's port is its default, which kubeadm keeps."""
ASK_S, HEALTH_S = 10.0, 30.0
API_DEAD = "api-unreachable"
"""The code of an API server that does not answer. Any other error is one that it, or its kubectl, answers with."""


class Inside:
    """Asks nodes what they are like, with the commands in their containers."""

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine

    def members(self, nodes: Sequence[Node]) -> tuple[Mapping[str, Any], ...]:
        """Return the nodes as the API server describes them, asked in its own node.

        Raises InstallError; its code is `API_DEAD` if nothing answers there.
        """
        name = next((node.name for node in nodes if node.is_control_plane), "")
        done = self._engine.ask("exec", name, *_NODES, timeout_s=ASK_S)
        if done.exit_code == 0:
            return tuple(items_of(done.stdout))
        raise kubectl_failure(" ".join(done.argv), done.stderr.splitlines(), {"context": name})

    def sickness(self, node: Node) -> str:
        """Return why a node cannot work, by what the engine and the node itself say; empty if it is well.

        A node is sick if its kubelet or its containerd is, or if no command can be run in it.
        """
        try:
            done = self._engine.ask("exec", node.name, "sh", "-c", _HEALTH, timeout_s=HEALTH_S)
        except InstallError as error:
            return error.message if error.code == "command-timeout" else ""
        if done.exit_code != 0:
            said = done.stderr.strip() or done.stdout.strip()
            return f"no command runs in it: {said}" if "daemon" not in said else ""
        return "; ".join(done.stdout.splitlines())
