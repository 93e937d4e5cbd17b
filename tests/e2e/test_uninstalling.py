"""A cluster removed: the last tests, as the cluster that all share goes with them."""

from __future__ import annotations

import subprocess

from e2e.lab import ClusterInstallation, ask, engine, node_states


def test_delete_wants_the_name_and_removes_this_cluster_alone(installed: ClusterInstallation) -> None:
    other = f"{installed.cluster}-control-plane-2"
    bystander = ("--label", f"io.x-k8s.kind.cluster={installed.cluster}-2", "--name", other)
    image = ask(engine(), "inspect", "-f", "{{.Image}}", f"{installed.cluster}-control-plane").strip()
    ask(engine(), "create", *bystander, image)
    try:
        for words in (["delete"], ["delete", "--yes"], ["delete", "--yes", "--cluster", "e2e-other"]):
            installed.run(*words)
            assert installed.identity()
        deleted = installed.run("delete", "--yes", "--cluster", installed.cluster)
        assert deleted.returncode == 0, deleted.stdout + deleted.stderr
        assert node_states(installed.cluster) == {}
        assert list(node_states(f"{installed.cluster}-2")) == [other]
    finally:
        subprocess.run([engine(), "rm", "-f", other], capture_output=True, check=False)
    assert installed.context not in ask("kubectl", "config", "get-contexts", environ=installed.environ())
    assert not installed.files.exists()
