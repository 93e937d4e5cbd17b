"""A bundle of a real cluster: what the pods, the nodes and kind tell, and none of its secrets."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from e2e.lab import NAMESPACE, ClusterInstallation
from kit.archives import read_bundle
from kit.stores import wait_until

MARKER = "pl4nt3d-in-a-p0d"
POD_IMAGE = "nothing.invalid/like-it:1"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "chatty"},
    "spec": {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": "chatty",
                "image": POD_IMAGE,
                "args": ["--log-token", f"{MARKER}-arg"],
                "env": [{"name": "HARMLESS", "value": f"{MARKER}-value"}],
            }
        ],
    },
}


def test_a_bundle_tells_of_pods_nodes_and_kind_and_of_no_secret(installed: ClusterInstallation, tmp_path: Path) -> None:
    pod = tmp_path / "pod.json"
    pod.write_text(json.dumps(POD))
    installed.kubectl("apply", "-f", str(pod))
    try:
        wait_until(lambda: POD_IMAGE in installed.kubectl("get", "events"), "the pull has not failed", limit_s=60)
        told = json.loads(installed.must("diagnose", "--output", "json", str(tmp_path / "bundle.tar.gz")))
    finally:
        installed.kubectl("delete", "pod", "chatty", "--now")
    members = read_bundle(Path(told["path"]))
    assert list(members) == told["members"]
    assert members["diagnosis.txt"].splitlines()[0] == told["diagnosis"]
    here = f"cluster/{NAMESPACE}"
    assert "Name:             chatty" in members[f"{here}/pods.txt"]
    assert POD_IMAGE in members[f"{here}/events.txt"]
    assert members[f"{here}/logs/mimir-0.log"].strip()
    assert f"{installed.cluster}-control-plane" in members["cluster/nodes.txt"]
    assert json.loads(members["kind/nodes.json"])["nodes"][0]["state"] == "running"
    assert any(name.startswith("kind/export/") and name.endswith("kubelet.log") for name in members), members
    everything = "\n".join(members.values())
    secret = _password(installed)
    for hidden in (MARKER, secret, base64.b64encode(secret.encode()).decode()):
        assert hidden not in everything


def _password(installed: ClusterInstallation) -> str:
    shown = installed.kubectl("get", "secret", "grafana-admin", "-o", "jsonpath={.data.admin-password}")
    return base64.b64decode(shown).decode()
