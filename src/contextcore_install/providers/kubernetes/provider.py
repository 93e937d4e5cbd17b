"""What the providers on Kubernetes do alike: the release and its workloads, through kubectl in one context."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.evidence import Collector
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Drift, ProviderConfig, Requirement, Workload
from contextcore_install.core.requirements import Storage
from contextcore_install.engine.replica import Remote
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.evidence import cluster_evidence
from contextcore_install.providers.kubernetes.keeping import claims_of
from contextcore_install.providers.kubernetes.releases import GRAFANA_ADMIN
from contextcore_install.providers.kubernetes.remote import remote_in
from contextcore_install.providers.kubernetes.render import NAMESPACE, OURS, ManifestSource
from contextcore_install.providers.kubernetes.stack import KubernetesStack
from contextcore_install.providers.kubernetes.standing import storage
from contextcore_install.system.files import read_text, write_atomically
from contextcore_install.system.programs import KUBECTL, ToolBox

CLAIMS_FILE = "claims.json"
"""In the provider's folder: the claims that there have been, by which their loss is known."""


class KubernetesProvider(ABC):
    """The part of the port that asks nothing but the cluster's API. Nothing is looked up before it is asked for.

    `context` names kubectl's context; `context_remedy` says in a sentence and a command how to have it back.
    """

    context: str
    context_remedy: tuple[str, str]
    #: What the release is adapted with, where it is ours, and the name of that variant in the cache.
    adapt: Callable[[dict[str, Any]], None] | None = None
    variant = ""
    #: Whether the cluster is ours as a whole.
    owns_nodes = False

    def __init__(self, config: ProviderConfig, name: str, environ: Mapping[str, str]) -> None:
        self._config = config
        self._folder = config.folder.absolute() / name
        self._cache = config.bin_folder.parent / "cache"
        self._box = ToolBox(environ, config.bin_folder, self._cache / "tools.json")

    @cached_property
    def _kubectl(self) -> Kubectl:
        remedy, command = self.context_remedy
        facts = {
            "context": self.context,
            "namespace": NAMESPACE,
            "manifests": str(self._source.folder),
            "context_remedy": remedy,
            "context_command": command,
        }
        return Kubectl(lambda: self._box.path(KUBECTL), self._box.environ, self.context, facts)

    @cached_property
    def _source(self) -> ManifestSource:
        folder = Path(str(self._config.options.get("manifests") or OURS)).absolute()
        return ManifestSource(
            cluster=self._config.cluster,
            folder=folder,
            registry=str(self._config.options.get("registry") or ""),
            cache=self._cache,
            program=lambda: self._box.path(KUBECTL),
            environ=self._box.environ,
            adapt=self.adapt if folder == OURS else None,
            variant=self.variant,
            contact_points=str(self._config.options.get("grafana_contact_points", "")),
        )

    @cached_property
    def _stack(self) -> KubernetesStack:
        return self._make_stack()

    @abstractmethod
    def _make_stack(self) -> KubernetesStack:
        """Return the stack as this provider's cluster can have it."""

    @abstractmethod
    def _require_cluster(self) -> None:
        """Raise InstallError where asking the API would only be waiting for nothing."""

    def drift(self) -> Sequence[Drift]:
        """Return how the cluster differs from the release. Raises InstallError."""
        self._require_cluster()
        return self._stack.drift(self._noted_claims())

    def apply_release(self, ctx: StepContext) -> None:
        """Apply the release, and note what it keeps its data on. Raises InstallError."""
        self._stack.apply(ctx)
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = [key.name for key, _ in claims_of(self._stack.release())]
            write_atomically(self._folder / CLAIMS_FILE, json.dumps(names) + "\n")

    def remove_release(self, ctx: StepContext) -> None:
        """Delete the release's objects; claims stay. Raises InstallError."""
        self._stack.remove(ctx)

    def start_workloads(self, ctx: StepContext) -> None:
        """Give pods that are stuck another start. Raises InstallError."""
        self._stack.start(ctx)

    def workloads(self) -> Sequence[Workload]:
        """Return each workload's condition now. Raises InstallError."""
        self._require_cluster()
        return self._stack.workloads()

    def watch_workloads(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        """Yield the conditions now and at every change. Raises InstallError."""
        yield from self._stack.watch(ctx)

    def cluster_services(self) -> Sequence[Requirement]:
        """Return nothing: somebody else's cluster may have others in the place of those that we know."""
        return ()

    def storage(self) -> Sequence[Storage]:
        """Return where each workload that is there keeps its data. Raises InstallError."""
        self._require_cluster()
        return list(storage(self._stack.release(), self._stack.reader.read()))

    def evidence(self) -> Sequence[Collector]:
        """Return what can be collected of the release's namespaces."""
        return cluster_evidence(self._kubectl, self._namespaces, self._require_cluster, own_nodes=self.owns_nodes)

    def _namespaces(self) -> Sequence[str]:
        try:
            return self._stack.release().namespaces or [NAMESPACE]
        except InstallError:
            return [NAMESPACE]  # manifests that cannot be rendered are what is wrong, and no reason not to look

    def remote(self) -> Remote:
        """Return the way to the installation's records in the cluster."""
        return remote_in(self._kubectl, NAMESPACE)

    def _forget_claims(self) -> None:
        """Take back the note of the claims: they are gone as they were meant to go."""
        with suppress(OSError):
            (self._folder / CLAIMS_FILE).unlink(missing_ok=True)

    def _noted_claims(self) -> frozenset[str]:
        try:
            return frozenset(map(str, json.loads(read_text(self._folder / CLAIMS_FILE))))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def log_command(self, component: str) -> str:
        """Return the command that shows the end of a component's log."""
        return self._kubectl.shown("-n", NAMESPACE, "logs", f"statefulset/{component}", "--tail=50")

    def _login_hints(self) -> tuple[str, str]:
        """Return how to see the pods, and Grafana's password."""
        pods = self._kubectl.shown("-n", NAMESPACE, "get", "pods")
        secret = self._kubectl.shown(
            "-n", NAMESPACE, "get", "secret", GRAFANA_ADMIN, "-o", "jsonpath={.data.admin-password}"
        )
        flag = "-D" if sys.platform == "darwin" else "-d"
        login = f"Grafana's login: admin, and the password that this shows: {secret} | base64 {flag}"
        return f"Pods: {pods}", login
