"""A release is applied workload by workload while images come, by attempts that may fail meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import Kind
from contextcore_install.providers.kind.provider import KindProvider
from kit.fakes import Told
from kit.kube_world import NODE, Cluster, in_kind
from kit.stores import wait_until

ENGINE = """\
#!/bin/sh
# Has a node, and pulls an image when `waits` is gone; refuses once for the reason in `refuses`.
cd {folder}
echo "$*" >>calls
case "$*" in
pull*) while [ -e waits ]; do sleep 0.05; done; [ ! -e refuses ] || {{ cat refuses; rm refuses; exit 1; }}; touch here;;
"image inspect"*) [ -e here ];;
save*|exec*) cat >/dev/null </dev/null;;
*) exec {known} "$@";;
esac
"""


def workload(name: str, image: str) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": name, "image": image}]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"template": template}}


class Lab:
    """A cluster that is there, and a release of which every image but one by digest has to be pulled."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cluster = folder, Cluster(folder / "cluster")
        release = [workload("loki", "grafana/loki:3"), workload("pinned", "grafana/x@sha256:1")]
        self.provider: KindProvider = in_kind(folder, self.cluster, release)
        engine = folder / "path" / "docker"
        known = engine.rename(folder / "known")
        engine.write_text(ENGINE.format(folder=folder, known=known))
        engine.chmod(0o755)
        (folder / "waits").touch()

    @property
    def pulls(self) -> int:
        return (self.folder / "calls").read_text().count("pull")

    def fail(self, told: Told) -> InstallError:
        """Apply, which fails while the image is still being pulled; return the error."""
        self.cluster.fails(("apply", "Error from server: etcdserver: request timed out"))
        with pytest.raises(InstallError) as caught:
            self.provider.apply_release(told.ctx)
        wait_until(lambda: self.pulls, "nothing is pulled")
        return caught.value


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_another_attempt_goes_on_with_what_the_first_began_to_pull(lab: Lab) -> None:
    first, second, third = Told(), Told(), Told()
    kept = [lab.fail(first), lab.fail(second)]
    ended = [data["outcome"] for kind, data in second.events if kind is Kind.PART_FINISHED]
    assert (len(kept), ended) == (2, ["failed"]), "an attempt has no part that goes on after it"
    threading.Timer(0.5, (lab.folder / "waits").unlink).start()
    lab.provider.apply_release(third.ctx)
    assert lab.pulls == 1
    assert {"Deployment/loki", "Deployment/pinned"} <= lab.cluster.names
    assert any(f"loading grafana/loki:3 into {NODE}" in line for line in third.lines)


def test_what_could_not_be_pulled_before_is_tried_once_more(lab: Lab) -> None:
    (lab.folder / "refuses").write_text("Error response from daemon: connection reset by peer")
    lab.fail(Told())
    threading.Timer(0.5, (lab.folder / "waits").unlink).start()
    told = Told()
    lab.provider.apply_release(told.ctx)
    assert lab.pulls == 2
    assert [notice for notice in told.notices if "nodes pull" in notice]
    assert any("loading grafana/loki:3" in line for line in told.lines)
