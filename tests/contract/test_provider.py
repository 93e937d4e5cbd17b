"""What every provider promises, asked of the fake one and of the host's with a real store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.core.provider import ClusterState, Provider
from contextcore_install.stack.catalogue import METRICS_STORE
from contextcore_install.system.trees import check_tree
from kit.fakes import FakeProvider, Told
from kit.host_world import World


@dataclass
class Case:
    """A provider, and how to break what it runs."""

    provider: Provider
    world: World | None = None

    def breaks(self) -> None:
        if self.world:
            self.world.kill(METRICS_STORE)
        else:
            assert isinstance(self.provider, FakeProvider)
            self.provider.running.discard(METRICS_STORE)

    def keeps_something(self) -> None:
        if isinstance(self.provider, FakeProvider):
            self.provider.kept.files[METRICS_STORE] = b"samples"

    def makes_foreign(self) -> None:
        if self.world:
            root = self.world.layout().root
            root.mkdir(parents=True)
            (root / "thesis.tex").write_text("")
        else:
            assert isinstance(self.provider, FakeProvider)
            self.provider.state = ClusterState.FOREIGN


@pytest.fixture(params=["fake", "host"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "fake":
        yield Case(FakeProvider())
        return
    world = World(tmp_path)
    world.has("victoria-metrics")
    try:
        yield Case(world.provider(), world)
    finally:
        world.close()


def installed(case: Case) -> Provider:
    provider = case.provider
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    watch(provider)
    return provider


def watch(provider: Provider) -> None:
    told = Told()
    threading.Timer(20, told.token.cancel, ["too slow"]).start()
    for workloads in provider.watch_workloads(told.ctx):
        if all(workload.ready for workload in workloads):
            told.token.cancel("done")
            return
        assert not [workload.finding for workload in workloads if workload.finding]


def test_an_installation_goes_from_nothing_to_ready_and_back(case: Case) -> None:
    provider = case.provider
    assert provider.cluster().state is ClusterState.ABSENT
    provider.create_cluster(Told().ctx)
    assert provider.cluster().state is ClusterState.HEALTHY
    assert provider.drift()
    provider.apply_release(Told().ctx)
    assert not provider.drift()
    watch(provider)
    assert all(workload.ready for workload in provider.workloads())
    provider.remove_release(Told().ctx)
    assert provider.drift()
    assert not any(workload.ready for workload in provider.workloads())
    provider.remove_cluster(Told().ctx)
    assert provider.cluster().state is ClusterState.ABSENT


def test_everything_can_be_repeated(case: Case) -> None:
    provider = installed(case)
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    provider.start_workloads(Told().ctx)
    assert provider.cluster().state is ClusterState.HEALTHY
    assert all(workload.ready for workload in provider.workloads())
    for _ in range(2):
        provider.remove_release(Told().ctx)
    for _ in range(2):
        provider.remove_cluster(Told().ctx)


def test_requirements_are_named_once_and_look_without_changing(case: Case) -> None:
    requirements = case.provider.requirements()
    assert len({requirement.id for requirement in requirements}) == len(requirements)
    for requirement in requirements:
        probe = requirement.probe()
        assert probe.evidence or probe.findings, requirement.id
        assert not [finding for finding in probe.findings if not finding.warning], requirement.id
    assert case.provider.cluster().state is ClusterState.ABSENT


def test_requirements_hold_for_an_installation_that_runs(case: Case) -> None:
    for requirement in installed(case).requirements():
        assert not [f for f in requirement.probe().findings if not f.warning], requirement.id


def test_a_component_that_is_down_is_found_with_a_remedy_and_started(case: Case) -> None:
    provider = installed(case)
    case.breaks()
    broken = next(workload for workload in provider.workloads() if workload.name == METRICS_STORE)
    assert not broken.ready
    assert broken.finding is not None
    assert broken.finding.remedy is not None
    assert broken.finding.remedy.automatic
    provider.start_workloads(Told().ctx)
    watch(provider)


def test_what_is_not_ours_is_refused_and_left_alone(case: Case) -> None:
    case.makes_foreign()
    provider = case.provider
    assert provider.cluster().state is ClusterState.FOREIGN
    for change in (provider.create_cluster, provider.remove_cluster):
        with pytest.raises(InstallError) as caught:
            change(Told().ctx)
        assert caught.value.code == "cluster-foreign"
    assert provider.cluster().state is ClusterState.FOREIGN


def test_watching_ends_as_soon_as_the_step_is_to_end(case: Case) -> None:
    provider = installed(case)
    told = Told()
    threading.Timer(0.2, told.token.cancel, ["interrupted"]).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        for _ in provider.watch_workloads(told.ctx):
            pass
    assert time.monotonic() - began < 30


def test_components_are_reached_on_loopback_by_number(case: Case) -> None:
    provider = installed(case)
    endpoints = provider.endpoints()
    assert METRICS_STORE in {endpoint.component for endpoint in endpoints}
    assert {workload.name for workload in provider.workloads()} == {endpoint.component for endpoint in endpoints}
    assert all(endpoint.base_url.startswith("http://127.0.0.1:") for endpoint in endpoints)
    overview = provider.overview()
    assert {item.component for item in overview.absent}.isdisjoint(endpoint.component for endpoint in endpoints)
    assert all(item.hint for item in overview.absent)


def test_what_stands_is_told_by_component(case: Case) -> None:
    assert not case.provider.listeners()
    provider = installed(case)
    components = {endpoint.component for endpoint in provider.endpoints()}
    storage = provider.storage()
    assert {item.component for item in storage} == components
    assert all(item.place and item.evidence and item.finding is None for item in storage), storage
    listeners = provider.listeners()
    assert {item.owner for item in listeners} == components
    assert not [item for item in listeners if item.is_open]
    provider.remove_release(Told().ctx)
    assert not provider.listeners()


def collected(provider: Provider) -> dict[str, object]:
    pieces = [piece for item in provider.evidence() for piece in item.collect(Told().ctx)]
    assert len({path for path, _ in pieces}) == len(pieces)
    return dict(pieces)


def test_evidence_is_collected_in_any_state_and_changes_nothing(case: Case) -> None:
    collected(case.provider)
    assert case.provider.cluster().state is ClusterState.ABSENT
    provider = installed(case)
    whole = collected(provider)
    assert whole
    for path, content in whole.items():
        assert not path.startswith("/"), path
        assert ".." not in path.split("/"), path
        assert json.dumps(content), path
    case.breaks()
    assert set(whole) <= set(collected(provider))
    assert not all(workload.ready for workload in provider.workloads())


def kept(provider: Provider) -> list[str]:
    return [volume.name for volume in provider.data().volumes()]


def test_what_is_kept_is_copied_and_put_back(case: Case, tmp_path: Path) -> None:
    provider = installed(case)
    case.keeps_something()
    data = provider.data()
    volume = next(volume for volume in data.volumes() if volume.component == METRICS_STORE)
    assert volume.promise
    copy = tmp_path / "copy.tar"
    with copy.open("w+b") as file:
        data.save(volume, file, Told().ctx)
        watch(provider)
        check_tree(file)
        data.fill(volume, file, Told().ctx)
    watch(provider)
    assert volume.name in kept(provider)


def test_data_is_kept_or_goes_as_it_was_asked_for(case: Case) -> None:
    provider = installed(case)
    case.keeps_something()
    provider.remove_cluster(Told().ctx, keep_data=True)
    assert bool(kept(provider)) == provider.data().outlives_cluster
    provider.create_cluster(Told().ctx)
    provider.apply_release(Told().ctx)
    watch(provider)
    provider.remove_cluster(Told().ctx)
    assert not kept(provider)


@pytest.mark.parametrize(
    "method", ["cluster", "drift", "apply_release", "workloads", "start_workloads", "storage", "listeners"]
)
def test_the_fake_fails_when_it_is_told_to(method: str) -> None:
    provider = FakeProvider()
    provider.failures[method] = [InstallError("broken", "it broke")]
    arguments = [Told().ctx] if method in {"apply_release", "start_workloads"} else []
    with pytest.raises(InstallError):
        getattr(provider, method)(*arguments)
    getattr(provider, method)(*arguments)


def test_the_fakes_evidence_fails_when_it_is_told_to() -> None:
    provider = FakeProvider()
    provider.failures["evidence"] = [InstallError("broken", "it broke")]
    with pytest.raises(InstallError):
        collected(provider)
    assert collected(provider)
