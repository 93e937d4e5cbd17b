"""The interface of a provider, the place where the stack runs, and the types it answers in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.findings import Finding, Risk
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.requirements import Category, Listener, Storage

KEPT_BYTES = 256 * 1024  # of the end of a text in a bundle
READ_BYTES = KEPT_BYTES + 64 * 1024  # more, as secrets are hidden before the cut: no half of one is left at it

Piece = tuple[str, Any]
"""Evidence for a diagnosis: a path in the bundle, as `host/logs/mimir.log`, and a text or a JSON document."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Evidence that can be collected, called `name` in messages; a `slow` one may take longer than a few seconds.

    `collect` only reads, may raise InstallError, and ends when its context does; what it has yielded by then counts.
    Nothing of it is redacted yet.
    """

    name: str
    collect: Callable[[StepContext], Iterable[Piece]]
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of checking a requirement: evidence if it is met, else findings; why, if it was `skipped`."""

    evidence: str = ""
    findings: tuple[Finding, ...] = ()
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that must hold: `probe` only reads, `fix` provides it. Nothing works without a `critical` one."""

    id: str
    title: str
    probe: Callable[[], Probe]
    fix: Callable[[StepContext], None] | None = None
    category: Category = Category.TOOLING
    critical: bool = True


class ClusterState(StrEnum):
    """What is there under the cluster's name; a degraded one runs, with findings."""

    ABSENT = "absent"
    PARTIAL = "partial"
    STOPPED = "stopped"
    DEGRADED = "degraded"
    LOST = "lost"
    HEALTHY = "healthy"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """A cluster's state, and what it was read from."""

    state: ClusterState
    evidence: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """One object of the release that is missing, changed or superfluous.

    `risk` is that of putting it back; one that is `kept` is only reported, as its change was made by others.
    """

    name: str
    change: str
    risk: Risk = Risk.RESTARTS
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload's condition now. `finding` is set if waiting cannot help."""

    name: str
    ready: bool
    condition: str
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a component is reached from here.

    `ready_path` answers 2xx when it is ready, or one of the statuses in `accepts`. `via` names what stands between this
    machine and the component, if anything: it decides what silence means. `steady_s` is for how long it must answer
    before that counts, in seconds: connections may flap after a node starts. `stranger` says who listens there in the
    component's place, as far as the provider knows: nothing is sent to it, and its answers count for nothing.
    `port_is_fixed` says that it cannot have another port.
    """

    component: str
    base_url: str
    ready_path: str
    via: str = ""
    accepts: frozenset[int] = frozenset()
    steady_s: float = 0.0
    stranger: str = ""
    port_is_fixed: bool = False

    @property
    def ready_url(self) -> str:
        return self.base_url + self.ready_path

    @property
    def is_reachable(self) -> bool:
        """Whether it can be reached at the moment: not a stranger, and not port 0, which stands for none."""
        return not self.stranger and not self.base_url.endswith(":0")

    def is_ready(self, status: int) -> bool:
        return 200 <= status < 300 or status in self.accepts


def url_of(endpoints: Iterable[Endpoint], component: str) -> str | None:
    """Return where a component can be reached at the moment; None if it cannot."""
    return next((item.base_url for item in endpoints if item.component == component and item.is_reachable), None)


@dataclass(frozen=True, slots=True)
class Absent:
    """A component that is not installed: why, and how to get it."""

    component: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What runs where, for people: lines about components, and how to look at them.

    `not_chosen` are the components that nobody wants here. `dashboard` is the URL of the installation's own in Grafana.
    """

    endpoints: tuple[Endpoint, ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[Absent, ...] = ()
    hints: tuple[str, ...] = ()
    not_chosen: frozenset[str] = frozenset()
    dashboard: str = ""


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """What a provider is built from.

    `folder` is the cluster's own (the provider makes it), `bin_folder` is that of the tools that we installed; programs
    are looked for and started in `environ`. `ports` are the user's choices by component name, `options` the provider's
    own by the name of their flag (grammar.PROVIDER_OPTIONS), given now or before; `given_now` names those given now,
    and `install_tools` if that was.
    `components` are those that are to run; None stands for all that have a program here. `may_lose_data` is the user's
    consent to remedies that lose data. `mirror` is the URL that releases are downloaded from, empty for upstream's.
    `bundle` is the offline bundle that everything is taken from; nothing is asked for on a network then.
    """

    cluster: str
    folder: Path
    bin_folder: Path
    environ: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    install_tools: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    given_now: frozenset[str] = frozenset()
    components: frozenset[str] | None = None
    may_lose_data: bool = False
    mirror: str = ""
    bundle: Path | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """What a component keeps, as one piece of a backup.

    `promise` describes a copy of it, `restarts` says that copying restarts the component, `bytes` its size, if known.
    """

    name: str
    component: str
    promise: str
    restarts: bool = False
    bytes: int | None = None


class Data(Protocol):
    """What the components keep: copied out, and put back. All methods may raise InstallError.

    A copy is an uncompressed tar of folders and regular files, by paths relative to the volume. `outlives_cluster` says
    whether data stays when the cluster is removed and data is to be kept.
    """

    outlives_cluster: bool

    def volumes(self) -> Sequence[Volume]: ...
    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None: ...

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        """Replace a volume's content by a copy; its component is stopped meanwhile, and started again."""

    def password(self) -> str | None:
        """Return the password of Grafana's admin, if there is one. It must reach no record."""


class Provider(Protocol):
    """Where the stack runs. Methods without a context only read; all may raise InstallError."""

    name: str

    def requirements(self) -> Sequence[Requirement]: ...  # what the machine must have
    def cluster(self) -> ClusterReport: ...
    def create_cluster(self, ctx: StepContext) -> None: ...  # healthy, from whatever `cluster` reports but foreign

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """Stop and remove what `create_cluster` made, with its data unless that is to be kept and can outlive it."""

    def data(self) -> Data: ...
    def drift(self) -> Sequence[Drift]: ...  # how the release differs from what it should be
    def apply_release(self, ctx: StepContext) -> None: ...  # objects or configurations, and what runs them
    def remove_release(self, ctx: StepContext) -> None: ...  # its data stays
    def start_workloads(self, ctx: StepContext) -> None: ...
    def workloads(self) -> Sequence[Workload]: ...

    def watch_workloads(self, ctx: StepContext) -> Iterable[Sequence[Workload]]:
        """Yield the conditions now and at every change, until the caller has seen enough."""

    def endpoints(self) -> Sequence[Endpoint]: ...

    def cluster_services(self) -> Sequence[Requirement]:
        """Return what the cluster itself must provide so that components are reached; empty if it is not ours."""

    def storage(self) -> Sequence[Storage]: ...  # of the components that are installed
    def listeners(self) -> Sequence[Listener]: ...
    def overview(self) -> Overview: ...
    def by_hand(self, step_id: str) -> Sequence[str]: ...  # commands for what a step asks of this provider
    def log_command(self, component: str) -> str: ...  # shows the end of a component's log
    def evidence(self) -> Sequence[Collector]: ...  # for a diagnosis; nothing is read yet
