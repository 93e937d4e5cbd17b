from __future__ import annotations

import base64
from typing import Any

from contextcore_install.providers.kubernetes.manifests import (
    CONTACT_POINTS,
    CONTACT_POINTS_FILE,
    DIGEST,
    with_contact_points,
)
from contextcore_install.providers.kubernetes.objects import FINGERPRINT, RELEASE_LABEL, Manifest

NAMESPACE = Manifest(kind="Namespace", metadata={"name": "observability"})
TEXT = '{"apiVersion": 1}'


def workload(name: str, volume: dict[str, Any]) -> Manifest:
    return Manifest(
        kind="StatefulSet",
        metadata={"name": name, "namespace": "observability", "annotations": {FINGERPRINT: "before"}},
        spec={"template": {"spec": {"containers": [], "volumes": [volume]}}},
    )


GRAFANA = workload("grafana", {"projected": {"sources": [{"secret": {"name": CONTACT_POINTS, "optional": True}}]}})
LOKI = workload("loki", {"emptyDir": {}})


def test_the_secret_comes_before_what_reads_it_and_starts_it_anew() -> None:
    namespace, secret, grafana, loki = with_contact_points([NAMESPACE, GRAFANA, LOKI], "demo", TEXT)
    assert namespace == NAMESPACE
    assert loki == LOKI
    assert base64.b64decode(secret["data"][CONTACT_POINTS_FILE]).decode() == TEXT
    assert secret["metadata"]["labels"][RELEASE_LABEL] == "demo"
    assert secret["metadata"]["namespace"] == "observability"
    template = grafana["spec"]["template"]
    assert template["spec"] == GRAFANA["spec"]["template"]["spec"]
    assert grafana["metadata"]["annotations"][FINGERPRINT] != "before"
    others = with_contact_points([GRAFANA], "demo", TEXT + " ")
    assert (
        others[1]["spec"]["template"]["metadata"]["annotations"][DIGEST] != template["metadata"]["annotations"][DIGEST]
    )
    assert "metadata" not in GRAFANA["spec"]["template"], "the objects given stay as they are"


def test_without_contact_points_or_a_reader_nothing_is_added() -> None:
    assert with_contact_points([NAMESPACE, GRAFANA], "demo", "") == [NAMESPACE, GRAFANA]
    assert with_contact_points([NAMESPACE, LOKI], "demo", TEXT) == [NAMESPACE, LOKI]
