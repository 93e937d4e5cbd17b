"""What the steps ask of a provider, the place where the stack runs, and the words it answers in.

Implemented in `providers/`, faked in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

from contextcore_install.core.evidence import Collector
from contextcore_install.core.findings import Finding, Risk
from contextcore_install.core.ports import StepContext
from contextcore_install.core.requirements import Category, Listener, Storage


@dataclass(frozen=True, slots=True)
class Probe:
    """What looking at a requirement showed: evidence when it is met, else a finding.

    What was `skipped` could not be looked at, or is not wanted here; then `evidence` says why.
    """

    evidence: str = ""
    findings: tuple[Finding, ...] = ()
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that must hold. `probe` only reads; `fix`, where there is one, provides it.

    Without what is `critical`, there is no installation that works.
    """

    id: str
    title: str
    probe: Callable[[], Probe]
    fix: Callable[[StepContext], None] | None = None
    category: Category = Category.TOOLING
    critical: bool = True


class ClusterState(StrEnum):
    """What is there under the cluster's name. What is wrong with a degraded one, which runs, its findings say."""

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
    """One object of the release that is not as it should be: missing, changed or superfluous.

    `risk` is that of putting it back. What is `kept` is others' to decide: it is told, and left as it is.
    """

    name: str
    change: str
    risk: Risk = Risk.RESTARTS
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload's condition now. `finding` is set for what waiting cannot heal."""

    name: str
    ready: bool
    condition: str
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a component is reached from here.

    `ready_path` answers 2xx when it is ready, or one of the statuses in `accepts`. `via` names what stands between this
    machine and the component, where something does: it decides what silence means. `steady_s` is for how long it must
    answer before that counts, in seconds: behind a node that has just been started, ways open, and may close again.
    `stranger` says who listens there in the component's place, as far as the provider knows: nothing is sent to it, and
    what it answers says nothing of the installation. `port_is_fixed` says that it cannot have another port.
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
        """The URL that tells readiness."""
        return self.base_url + self.ready_path

    @property
    def has_way(self) -> bool:
        """Whether there is a way to it at the moment: none leads to a stranger, or to port 0, which stands for none."""
        return not self.stranger and not self.base_url.endswith(":0")

    def is_ready(self, status: int) -> bool:
        """Tell whether an HTTP status means that the component is ready."""
        return 200 <= status < 300 or status in self.accepts


@dataclass(frozen=True, slots=True)
class Absent:
    """A component that this installation goes without: why, and how to get it."""

    component: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What runs where, for people: lines about components, and how to look at them."""

    endpoints: tuple[Endpoint, ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[Absent, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """What a provider is built from. `ports` holds the user's choices by component name.

    `folder` is the cluster's own (the provider makes it), `bin_folder` where tools that we installed
    are; `environ` is the environment in which programs are looked for and started. `options` are the
    provider's own, by the name of their flag (grammar.PROVIDER_OPTIONS), where they were given, now or before;
    `given_now` names those of this command line. `may_lose_data` is the user's consent to remedies that lose data.
    """

    cluster: str
    folder: Path
    bin_folder: Path
    environ: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    install_tools: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    given_now: frozenset[str] = frozenset()
    may_lose_data: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """What a component keeps, as one piece of a backup.

    `promise` says what a copy of it is like, and `restarts` that taking one ends the component for a moment. `bytes` is
    how large it is, None where that is not known beforehand.
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

    def volumes(self) -> Sequence[Volume]:
        """Return what there is to copy; empty where nothing was ever kept."""
        ...

    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None:
        """Write a copy of a volume into an open file."""
        ...

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        """Replace a volume's content by a copy; its component is ended meanwhile, and started again."""
        ...

    def password(self) -> str | None:
        """Return the password of Grafana's admin; None where there is none. It must reach no record."""
        ...


class Provider(Protocol):
    """Where the stack runs. Methods without a context only read; all may raise InstallError."""

    name: str

    def requirements(self) -> Sequence[Requirement]:
        """Return what the machine must have."""
        ...

    def cluster(self) -> ClusterReport:
        """Return what is there under the cluster's name."""
        ...

    def create_cluster(self, ctx: StepContext) -> None:
        """Bring the cluster to healthy from whatever `cluster` reports, foreign excepted."""
        ...

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        """End and remove what `create_cluster` made, data included unless it is to be kept and can outlive it."""
        ...

    def data(self) -> Data:
        """Return the way to what the components keep."""
        ...

    def drift(self) -> Sequence[Drift]:
        """Return how the release differs from what it should be; empty when it does not."""
        ...

    def apply_release(self, ctx: StepContext) -> None:
        """Put the release in place: objects or configurations, and what runs them."""
        ...

    def remove_release(self, ctx: StepContext) -> None:
        """Take the release away and keep its data."""
        ...

    def start_workloads(self, ctx: StepContext) -> None:
        """Start what should run and does not."""
        ...

    def workloads(self) -> Sequence[Workload]:
        """Return each workload's condition now."""
        ...

    def watch_workloads(self, ctx: StepContext) -> Iterable[Sequence[Workload]]:
        """Yield the conditions now and at every change, until the caller has seen enough."""
        ...

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where each component of this installation is reached."""
        ...

    def cluster_services(self) -> Sequence[Requirement]:
        """Return what must hold of the cluster itself so that components are reached; empty where it is not ours."""
        ...

    def storage(self) -> Sequence[Storage]:
        """Return where each component that is installed keeps its data now."""
        ...

    def listeners(self) -> Sequence[Listener]:
        """Return where the installation takes connections now; empty where nothing of it runs."""
        ...

    def overview(self) -> Overview:
        """Return what runs where, for people."""
        ...

    def by_hand(self, step_id: str) -> Sequence[str]:
        """Return the commands that do by hand what a step asks this provider for; empty where there are none."""
        ...

    def log_command(self, component: str) -> str:
        """Return the command that shows the end of a component's log."""
        ...

    def evidence(self) -> Sequence[Collector]:
        """Return what can be collected for somebody who is to find out what is wrong. Looks at nothing yet."""
        ...
