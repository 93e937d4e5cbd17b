"""Clusters for the tests in this folder, which `make e2e` runs and `make test` does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from e2e import figures
from e2e.breakages import TABLE
from e2e.lab import EVERYTHING, ClusterInstallation, cluster_name, engine, node_states, provide_images

HERE = Path(__file__).parent
#: Seconds for one test, clusters that it makes included.
LIMIT_S = 600


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(LIMIT_S))
            if item.get_closest_marker("thorough") and not EVERYTHING:
                item.add_marker(pytest.mark.skip(reason="takes long: E2E_EVERYTHING=1"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put beside a failure what the program said last, and how its cluster is."""
    report = yield
    if report.failed and report.when in {"setup", "call"}:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, ClusterInstallation):
                report.sections.append((value.cluster, value.report()))
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write what was measured, where a page is named for it and nothing failed."""
    if (page := os.environ.get("E2E_REPAIR_REPORT")) and not exitstatus:
        figures.write(Path(page), [row.name for row in TABLE])


@pytest.fixture(scope="session", autouse=True)
def lab() -> None:
    """End everything at once where Kind cannot work: tests that do not run must not look like tests that pass."""
    for name in (engine(), "kind", "kubectl"):
        if shutil.which(name) is None:
            pytest.exit(f"no `{name}` on PATH: these tests need clusters of Kind", returncode=3)
    if subprocess.run([engine(), "ps"], capture_output=True, timeout=30, check=False).returncode != 0:
        pytest.exit(f"{engine()} does not answer: these tests need clusters of Kind", returncode=3)
    provide_images()


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterInstallation]:
    """The cluster that most tests share; installed by whoever needs it first."""
    place = ClusterInstallation(tmp_path_factory.mktemp("shared"), cluster_name("shared"))
    yield place
    place.remove()


@pytest.fixture
def installed(first: ClusterInstallation) -> ClusterInstallation:
    """The shared cluster with everything as it should be, whatever an earlier test has left behind, and one sample."""
    if not node_states(first.cluster):
        first.install()
    if first.run("verify").returncode != 0 and first.run("--repair", "--yes").returncode != 0:
        first.run("delete", "--yes", "--cluster", first.cluster)
        first.must(*first.flags())
    if not first.written():
        first.write(1.0)
    first.said.clear()
    return first


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[ClusterInstallation]:
    """A place for an installation of one test's own."""
    place = ClusterInstallation(tmp_path / "alone", cluster_name("alone"))
    yield place
    place.remove()
