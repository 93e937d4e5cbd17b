"""Stand-ins for ports. Each can be told to fail."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.interfaces import HttpResponse, StepContext
from contextcore_install.core.provider import (
    Absent,
    ClusterReport,
    ClusterState,
    Collector,
    Drift,
    Endpoint,
    Overview,
    Piece,
    Probe,
    Requirement,
    Volume,
    Workload,
)
from contextcore_install.core.requirements import Listener, Storage, socket_listener
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context


class RealClock:
    """A Clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Told:
    """What a step's context was told, and the context itself."""

    token: CancelToken = field(default_factory=CancelToken)
    events: list[tuple[Kind, dict[str, Any]]] = field(default_factory=list)
    limit_s: float = 60.0

    def __post_init__(self) -> None:
        self.ctx: StepContext = Context("step", self.token, self._tell, RealClock(), time.monotonic() + self.limit_s)

    def _tell(self, kind: Kind, step: str, data: dict[str, Any]) -> None:
        self.events.append((kind, data))

    def texts(self, kind: Kind, key: str) -> list[str]:
        return [data[key] for told, data in self.events if told is kind]

    @property
    def lines(self) -> list[str]:
        return self.texts(Kind.OUTPUT, "line")

    @property
    def notices(self) -> list[str]:
        return self.texts(Kind.NOTICE, "text")


class FakeData:
    """A Data in memory: one file a volume. `broken` names volumes that cannot be copied."""

    def __init__(self) -> None:
        self.outlives_cluster = True
        self.files: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.secret: str | None = None

    def volumes(self) -> Sequence[Volume]:
        return [Volume(name, name, "complete", bytes=len(content)) for name, content in sorted(self.files.items())]

    def save(self, volume: Volume, sink: IO[bytes], ctx: StepContext) -> None:
        if volume.name in self.broken:
            raise InstallError("volume-unreadable", f"{volume.name} cannot be copied")
        with tarfile.open(fileobj=sink, mode="w|") as tar:
            member = tarfile.TarInfo("file")
            member.size = len(self.files[volume.name])
            tar.addfile(member, io.BytesIO(self.files[volume.name]))

    def fill(self, volume: Volume, source: IO[bytes], ctx: StepContext) -> None:
        if volume.name in self.broken:
            raise InstallError("volume-unusable", f"{volume.name} cannot be filled")
        source.seek(0)
        with tarfile.open(fileobj=source, mode="r:") as tar:
            found = tar.extractfile("file")
            assert found
            self.files[volume.name] = found.read()

    def password(self) -> str | None:
        return self.secret


class FakeProvider:
    """A Provider in memory. `failures` maps a method's name to the error that it raises, once for each entry."""

    name = "fake"

    def __init__(self, components: Sequence[str] = ("mimir", "grafana")) -> None:
        self.components = tuple(components)
        self.failures: dict[str, list[InstallError]] = {}
        self.calls: list[str] = []
        self.state = ClusterState.ABSENT
        self.missing_tool = False
        self.can_fix = True
        self.applied: set[str] = set()
        self.running: set[str] = set()
        self.broken: dict[str, Finding] = {}
        self.looks_until_ready = 1
        self.urls = {name: f"http://127.0.0.1:{10_000 + i}" for i, name in enumerate(self.components)}
        self._looks: dict[str, int] = {}
        self.kept = FakeData()

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if waiting := self.failures.get(name):
            raise waiting.pop(0)

    def requirements(self) -> Sequence[Requirement]:
        self._called("requirements")

        def probe() -> Probe:
            if not self.missing_tool:
                return Probe("tool 1.0")
            remedy = Remedy("install it", "./create-cluster.sh --install-tools")
            return Probe(findings=(Finding("tool-missing", "the tool is missing", remedy=remedy),))

        def fix(ctx: StepContext) -> None:
            self._called("fix")
            self.missing_tool = False

        return [Requirement("tool", "The tool", probe, fix if self.can_fix else None)]

    def cluster(self) -> ClusterReport:
        self._called("cluster")
        return ClusterReport(self.state, f"the fake cluster is {self.state}")

    def create_cluster(self, ctx: StepContext) -> None:
        self._called("create_cluster")
        if self.state is ClusterState.FOREIGN:
            raise InstallError("cluster-foreign", "not ours")
        self.state = ClusterState.HEALTHY

    def remove_cluster(self, ctx: StepContext, *, keep_data: bool = False) -> None:
        self._called("remove_cluster")
        if self.state is ClusterState.FOREIGN:
            raise InstallError("cluster-foreign", "not ours")
        self.remove_release(ctx)
        self.state = ClusterState.ABSENT
        if not keep_data or not self.kept.outlives_cluster:
            self.kept.files.clear()

    def data(self) -> FakeData:
        self._called("data")
        return self.kept

    def drift(self) -> Sequence[Drift]:
        self._called("drift")
        return [Drift(name, "missing") for name in self.components if name not in self.applied]

    def apply_release(self, ctx: StepContext) -> None:
        self._called("apply_release")
        for name in self.components:
            self.applied.add(name)
            self.running.add(name)

    def remove_release(self, ctx: StepContext) -> None:
        self._called("remove_release")
        self.applied.clear()
        self.running.clear()
        self._looks.clear()

    def start_workloads(self, ctx: StepContext) -> None:
        self._called("start_workloads")
        self.running.update(self.applied)

    def workloads(self) -> Sequence[Workload]:
        self._called("workloads")
        return [self._workload(name) for name in self.components]

    def _workload(self, name: str) -> Workload:
        if finding := self.broken.get(name):
            return Workload(name, ready=False, condition="broken", finding=finding)
        if name not in self.running:
            finding = Finding("not-running", f"{name} is not running", remedy=Remedy("start it", automatic=True))
            return Workload(name, ready=False, condition="not running", finding=finding)
        self._looks[name] = self._looks.get(name, 0) + 1
        ready = self._looks[name] >= self.looks_until_ready
        return Workload(name, ready=ready, condition="ready" if ready else "starting")

    def watch_workloads(self, ctx: StepContext) -> Iterator[Sequence[Workload]]:
        self._called("watch_workloads")
        before: Sequence[Workload] | None = None
        while True:
            ctx.raise_if_cancelled()
            now = [self._workload(name) for name in self.components]
            if now != before:
                before = now
                yield now
            ctx.wait(0.01)

    def endpoints(self) -> Sequence[Endpoint]:
        self._called("endpoints")
        return [Endpoint(name, self.urls[name], "/ready") for name in self.components]

    def cluster_services(self) -> Sequence[Requirement]:
        return []

    def storage(self) -> Sequence[Storage]:
        self._called("storage")
        return [Storage(name, f"/data/{name}", "there", in_memory=False) for name in sorted(self.applied)]

    def listeners(self) -> Sequence[Listener]:
        self._called("listeners")
        return [socket_listener(name, "127.0.0.1", 10_000 + i) for i, name in enumerate(sorted(self.running))]

    def by_hand(self, step_id: str) -> Sequence[str]:
        return [f"do {step_id}"]

    def log_command(self, component: str) -> str:
        return f"tail {component}.log"

    def evidence(self) -> Sequence[Collector]:
        def state(_: StepContext) -> Iterator[Piece]:
            self._called("evidence")
            yield "fake/state.json", {"state": self.state, "running": sorted(self.running)}

        return [Collector("the fake cluster", state)]

    def overview(self) -> Overview:
        self._called("overview")
        absent = (Absent("loki", "not here", "get it"),)
        dashboard = f"{self.urls['grafana']}/d/fake?var-cluster=fake" if "grafana" in self.urls else ""
        return Overview(tuple(self.endpoints()), {}, absent, ("look at it",), dashboard=dashboard)


class FakeHttp:
    """An Http with answers by URL: an HttpAnswer, or an error that is raised. What is not there is refused."""

    def __init__(self, answers: Mapping[str, HttpResponse | InstallError] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[str] = []

    def get(self, url: str, timeout_s: float) -> HttpResponse:
        self.asked.append(url)
        answer = self.answers.get(url, InstallError("http-refused", f"Nothing listens at {url}.", retryable=True))
        if isinstance(answer, InstallError):
            raise answer
        return answer

    def ask(
        self, method: str, url: str, timeout_s: float, headers: Mapping[str, str], body: bytes = b""
    ) -> HttpResponse:
        return self.get(url, timeout_s)
