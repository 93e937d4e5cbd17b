"""What the providers on Kubernetes do alike: the release and its workloads, through kubectl in one context."""

from __future__ import annotations

import json
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Collector, Drift, ProviderConfig, Requirement, Workload
from contextcore_install.core.requirements import Storage
from contextcore_install.core.tables import read_table
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.engine.replica import Remote
from contextcore_install.providers.kubernetes.claims import claims_of, lost_claims, storage
from contextcore_install.providers.kubernetes.client import APPLY, Kubectl, Reader
from contextcore_install.providers.kubernetes.conditions import WorkloadConditions
from contextcore_install.providers.kubernetes.evidence import cluster_evidence
from contextcore_install.providers.kubernetes.manifests import OURS, ManifestSource
from contextcore_install.providers.kubernetes.objects import NAMESPACE
from contextcore_install.providers.kubernetes.pods import Restarter
from contextcore_install.providers.kubernetes.release import GRAFANA_ADMIN, Applier, drift
from contextcore_install.providers.kubernetes.remote import remote_in
from contextcore_install.providers.kubernetes.watch import WorkloadWatch
from contextcore_install.stack.catalogue import LOOPBACK
from contextcore_install.system.files import read_text, write_atomically
from contextcore_install.system.programs import KUBECTL, ToolBox

CLAIMS_FILE = "claims.json"  # in the provider's folder: the claims that there have been, by which their loss is known
COMMANDS = Path(__file__).with_name("commands.toml")


class KubernetesProvider(ABC):
    """The part of the port that needs only the cluster's API. Nothing is looked up before it is asked for."""

    name: str
    owns_nodes = False  # whether the cluster is ours as a whole

    def __init__(
        self, config: ProviderConfig, environ: Mapping[str, str], context: str, context_remedy: Mapping[str, str]
    ) -> None:
        """Take kubectl's context, and the facts of rules that say how to have it back when it is missing."""
        self.context = context
        self._config = config
        self._folder = config.folder.absolute() / self.name
        cache, options = config.bin_folder.parent / "cache", config.options
        self._box = ToolBox(environ, config.bin_folder, cache / "tools.json")
        manifests = Path(str(options.get("manifests") or OURS)).absolute()
        facts = {"context": context, "namespace": NAMESPACE, "manifests": str(manifests), **context_remedy}
        #: For what asks no cluster, and with what is to be sure of before anything else is asked of ours.
        self._bare_kubectl = Kubectl(lambda: self._box.path(KUBECTL), self._box.environ, context, facts)
        self._kubectl = replace(self._bare_kubectl, program=self._program)
        registry, points = (str(options.get(name) or "") for name in ("registry", "grafana_contact_points"))
        inside = not self.owns_nodes
        self._source = ManifestSource(
            self._bare_kubectl, config.cluster, manifests, cache, registry, inside_only=inside, contact_points=points
        )
        self._reader = Reader(self._kubectl, self._source.release, owns_nodes=self.owns_nodes)
        self._applier = Applier(self._reader, config.cluster)
        self._restarter = Restarter(self._reader, self._get_images)
        self._conditions = WorkloadConditions(self._reader, self._image_remedy, self._nodes_started)
        self._workloads = TtlCache(self._look_at_workloads)
        self._reader.derived.append(self._workloads)

    def _program(self) -> str:
        """Return the kubectl for the next command to the cluster."""
        return self._box.path(KUBECTL)

    @abstractmethod
    def _require_cluster(self) -> None:
        """Raise InstallError if the API cannot answer, or is another cluster's."""

    def _image_remedy(self, image: str) -> str:
        return ""

    def _get_images(self, images: Sequence[str], ctx: StepContext) -> Mapping[str, InstallError]:
        """Provide images that pods lack, and return why some could not be provided."""
        return {}

    def _nodes_started(self) -> Mapping[str, str]:
        """Return when each node was started last (RFC 3339), as far as that is known."""
        return {}

    def drift(self) -> Sequence[Drift]:
        self._require_cluster()
        snapshot = self._reader.read()
        release = self._applier.within_rights(snapshot)
        noted: Sequence[str] = ()
        with suppress(ValueError, TypeError):
            noted = list(map(str, json.loads(read_note(self._folder / CLAIMS_FILE) or "[]")))
        return [*drift(release, snapshot, self._config.cluster), *lost_claims(release, snapshot, noted)]

    def apply_release(self, ctx: StepContext) -> None:
        self._apply(ctx)
        names = [name for item in self._reader.release().workloads.values() for name, _ in claims_of(item)]
        keep_note(self._folder / CLAIMS_FILE, json.dumps(names))

    def _apply(self, ctx: StepContext, without: Collection[str] = ()) -> None:
        """Apply the release, but for workloads that are to need one of some images and do not yet."""
        snapshot = self._reader.read(fresh=True)
        self._applier.apply(self._applier.within_rights(snapshot), snapshot, ctx, without)

    def remove_release(self, ctx: StepContext) -> None:
        self._applier.remove(self._reader.release(), ctx)

    def start_workloads(self, ctx: StepContext) -> None:
        """Put back lowered numbers of pods, have missing pods made, and end stuck ones. Raises InstallError."""
        if self._restarter.has_too_few_pods():
            self._apply(ctx)
        self._restarter.restart(ctx)

    def workloads(self) -> Sequence[Workload]:
        return self._workloads.read()

    def _look_at_workloads(self) -> Sequence[Workload]:
        self._require_cluster()
        return self._conditions.now(self._reader.read())

    def watch_workloads(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        seen: Sequence[Workload] | None = None
        try:
            for seen in WorkloadWatch(self._reader, self._conditions).changes(ctx):
                yield seen
        finally:
            self._reader.forget()
            if seen is not None:
                self._workloads.put(seen)  # which the check that follows need not ask for again

    def _service_ports(self) -> dict[str, tuple[str, dict[int, int]]]:
        """Return the release's Services: name -> (namespace, port -> node port or 0)."""
        services = {key: item for key, item in self._reader.release().by_key.items() if key.kind == "Service"}
        ports = {key: item["spec"].get("ports", []) for key, item in services.items()}
        return {
            key.name: (key.namespace, {int(port["port"]): int(port.get("nodePort", 0)) for port in found})
            for key, found in ports.items()
        }

    def cluster_services(self) -> Sequence[Requirement]:
        """Return nothing: somebody else's cluster may have others in place of those that we know."""
        return ()

    def storage(self) -> Sequence[Storage]:
        self._require_cluster()
        return list(storage(self._reader.release(), self._reader.read()))

    def evidence(self) -> Sequence[Collector]:
        return cluster_evidence(self._reader, self._require_cluster)

    def remote(self) -> Remote:
        return remote_in(self._kubectl, NAMESPACE, self._reader if self.owns_nodes else None)

    def by_hand(self, step_id: str) -> Sequence[str]:
        return self._typed(step_id)

    def log_command(self, component: str) -> str:
        return self._typed("log", component=component)[0]

    def _typed(self, *names: str, **more: str) -> tuple[str, ...]:
        """Return the commands, or hints with commands, that the table has under some names."""
        facts = {"kubectl": self._kubectl.shown(), "apply": shlex.join(APPLY), "loopback": LOOPBACK, **more}
        facts |= {"namespace": NAMESPACE, "manifests": shlex.quote(str(self._source.folder)), "secret": GRAFANA_ADMIN}
        facts["decode"] = "-D" if sys.platform == "darwin" else "-d"
        table, which = read_table(COMMANDS), ("all", "ours" if self.owns_nodes else "shared")
        return tuple(line.format_map(facts) for name in names for part in which for line in table[part].get(name, []))

    def _forget_claims(self) -> None:
        with suppress(OSError):
            (self._folder / CLAIMS_FILE).unlink(missing_ok=True)


def read_note(path: Path) -> str:
    """Return a note; empty if there is none that can be read."""
    with suppress(OSError, ValueError):
        return read_text(path).strip()
    return ""


def keep_note(path: Path, text: str) -> bool:
    """Keep a note in a folder of our own, if that can be written; tell whether it was."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text + "\n")
        return True
    return False
