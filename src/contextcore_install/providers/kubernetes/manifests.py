"""From a folder of manifests to the objects of a release: built by kubectl's kustomize, marked as ours, cached."""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.providers.kubernetes.client import Kubectl, items_of
from contextcore_install.providers.kubernetes.objects import (
    API,
    CLUSTER_KINDS,
    FINGERPRINT,
    NAMESPACE,
    RELEASE_LABEL,
    Manifest,
    Release,
    fingerprint,
    make_secret,
)
from contextcore_install.stack.catalogue import full_name
from contextcore_install.system.files import make_cache_folder, read_object, write_atomically
from contextcore_install.system.process import capture

OURS = Path(__file__).resolve().parents[2] / "stack" / "manifests"  # those that come with this program
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
RENDER_WITHIN_S = 60.0
CONTACT_POINTS, CONTACT_POINTS_FILE = "grafana-contact-points", "contact-points.yaml"  # a Secret and its only file
#: Annotation of Grafana's pods: it reads that file only when it starts, so another content needs other pods.
DIGEST = "contextcore-install/contact-points"
_FORMAT = "2"  # of a cached release


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """Where a release is rendered from."""

    kubectl: Kubectl
    cluster: str
    folder: Path
    cache: Path
    registry: str = ""
    inside_only: bool = False  # whether Services of our own manifests stay inside the cluster
    contact_points: str = field(default="", repr=False)  # a file of Grafana's: where alerts go; secret, never cached

    def release(self) -> Release:
        """Return the release, from the cache if nothing changed. Raises InstallError."""
        if not self.folder.is_dir():
            raise InstallError(
                "manifests-missing",
                f"There is no folder {self.folder} with manifests.",
                hint="name one with --manifests DIR (or K8S_MANIFESTS), or leave that out",
            )
        # A kustomization of the user's may reach outside of its folder, so only ours is known by its files.
        cached = self.cache / f"{self.cluster}.{self._digest()}.json" if self.folder == OURS else None
        known = (read_object(cached) or {}).get("items") if cached else None
        objects = list(map(Manifest, known or map(self._prepared, self._build())))
        if cached and not known:
            with suppress(OSError):  # else the release is rendered again
                make_cache_folder(self.cache)
                for old in self.cache.glob(f"{self.cluster}.*.json"):
                    old.unlink(missing_ok=True)
                write_atomically(cached, json.dumps({"items": objects}))
        return Release(with_contact_points(objects, self.cluster, self.contact_points))

    def _digest(self) -> str:
        chosen = (_FORMAT, self.cluster, self.registry, "inside" if self.inside_only else "")
        digest = hashlib.sha256("".join(f"{part}\n" for part in chosen).encode())
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(self.folder)}\n{len(content)}\n".encode() + content)
        return digest.hexdigest()[:24]

    def _build(self) -> list[Manifest]:
        """Return the objects as written, with their namespace: kubectl turns YAML into JSON without a cluster."""
        if any((self.folder / name).is_file() for name in KUSTOMIZATIONS):
            yaml, source = self._run("kustomize", str(self.folder)), ["-f", "-"]
        else:
            yaml, source = None, ["-R", "-f", str(self.folder)]
        label = f"{RELEASE_LABEL}={self.cluster}"
        objects = items_of(self._run("label", "--local", "--overwrite", *source, label, "-o", "json", stdin=yaml))
        if not objects:
            raise InstallError("manifests-empty", f"The manifests in {self.folder} hold no object.")
        keys = {item.key_in(NAMESPACE) for item in objects}
        metadata = {"name": NAMESPACE, "labels": {RELEASE_LABEL: self.cluster}}
        namespace = Manifest(apiVersion="v1", kind="Namespace", metadata=metadata)
        if namespace.key not in keys and any(key.namespace == NAMESPACE for key in keys):
            objects = [namespace, *objects]
        return sorted(objects, key=lambda item: (*API["first_kinds"], item.get("kind")).index(item.get("kind")))

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        argv = [self.kubectl.program(), *arguments]
        done = capture(argv, environ=self.kubectl.environ, timeout_s=RENDER_WITHIN_S, stdin=stdin)
        if done.exit_code != 0:
            facts = {"manifests": str(self.folder), "context": "-", "namespace": NAMESPACE}
            raise kubectl_failure(shlex.join(argv), done.stderr.splitlines(), facts)
        return done.stdout

    def _prepared(self, item: Manifest) -> Manifest:
        """Return an object as it is applied: in its namespace, from the mirror, with its fingerprint."""
        metadata = item.setdefault("metadata", {})
        metadata.pop("creationTimestamp", None)
        if item.get("kind") not in CLUSTER_KINDS:
            metadata.setdefault("namespace", NAMESPACE)
        for container in item.containers:
            container["image"] = mirrored(str(container.get("image", "")), self.registry)
        if self.inside_only and self.folder == OURS:
            _keep_inside(item)
        metadata["annotations"] = {**(metadata.get("annotations") or {}), FINGERPRINT: fingerprint(item)}
        return item


def _keep_inside(item: Manifest) -> None:
    """Keep a Service inside: the fixed ports of a kind node would open the stack on every node of a shared cluster."""
    spec = item.spec
    if item.get("kind") == "Service" and spec.get("type") == "NodePort":
        spec["type"] = "ClusterIP"
        for port in spec.get("ports", []):
            port.pop("nodePort", None)


def mirrored(image: str, registry: str) -> str:
    """Return where a mirror has an image of Docker Hub; others stay where they are."""
    host, _, path = full_name(image).partition("/")
    if not registry or not image or host not in {"docker.io", "index.docker.io"}:
        return image
    return f"{registry.rstrip('/')}/{path if '/' in path else f'library/{path}'}"


def with_contact_points(objects: Sequence[Manifest], cluster: str, text: str) -> list[Manifest]:
    """Return the objects with the Secret that holds a provisioning file, if pods read it, and its digest on these."""
    changed = copy.deepcopy(list(objects)) if text else []
    readers = [item for item in changed if any(f'"{CONTACT_POINTS}"' in json.dumps(spec) for spec in item.pod_specs)]
    if not readers:
        return list(objects)
    labels = {RELEASE_LABEL: cluster, "app.kubernetes.io/part-of": "contextcore"}
    content = text.encode()
    secret = make_secret(CONTACT_POINTS, readers[0].key.namespace, labels, {CONTACT_POINTS_FILE: content})
    for item in readers:
        annotations = item["spec"]["template"].setdefault("metadata", {}).setdefault("annotations", {})
        annotations[DIGEST] = hashlib.sha256(content).hexdigest()[:16]
        _with_fingerprint(item)
    first = next((place for place, item in enumerate(changed) if item.get("kind") != "Namespace"), 0)
    return [*changed[:first], _with_fingerprint(secret), *changed[first:]]


def _with_fingerprint(item: Manifest) -> Manifest:
    """Have a changed object carry the fingerprint of what it is now."""
    annotations = item["metadata"].setdefault("annotations", {})
    annotations.pop(FINGERPRINT, None)
    annotations[FINGERPRINT] = fingerprint(item)
    return item
