"""From a folder of manifests to the objects of a release: built by kubectl's kustomize, marked as ours, cached."""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.text import count
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.providers.kubernetes.client import items_of
from contextcore_install.providers.kubernetes.contact_points import with_contact_points
from contextcore_install.providers.kubernetes.objects import (
    CLUSTER_KINDS,
    FINGERPRINT,
    RELEASE_LABEL,
    containers,
    fingerprint,
    images,
    key_of,
)
from contextcore_install.system.capture import capture
from contextcore_install.system.files import make_cache_folder, read_text, write_atomically

NAMESPACE = "observability"
OURS = Path(__file__).resolve().parents[2] / "stack" / "manifests"
"""The manifests that come with this program."""
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
#: What a cached release depends on besides its input.
_FORMAT = "1"
RENDER_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Release:
    """The objects that should be there, in the order in which they are applied."""

    objects: tuple[dict[str, Any], ...]
    namespace: str = NAMESPACE

    @property
    def images(self) -> list[str]:
        """The images that the objects use."""
        return images(self.objects)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that the objects are in."""
        found = {key_of(item, self.namespace).namespace for item in self.objects}
        return sorted(found - {""})


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """Where a release is rendered from. `adapt` changes an object in place, as the provider needs it.

    `contact_points` is a file of Grafana's that says where alerts go: a secret, and never cached.
    """

    cluster: str
    folder: Path
    registry: str
    cache: Path
    program: Callable[[], str]
    environ: Mapping[str, str]
    adapt: Callable[[dict[str, Any]], None] | None = None
    variant: str = ""
    contact_points: str = field(default="", repr=False)

    def release(self) -> Release:
        """Return the release, from the cache where nothing changed. Raises InstallError."""
        if not self.folder.is_dir():
            raise InstallError(
                "manifests-missing",
                f"There is no folder {self.folder} with manifests.",
                hint="name one with --manifests DIR (or K8S_MANIFESTS), or leave that out",
            )
        # A kustomization of the user's may reach outside of its folder, so only ours is known by its files.
        cached = self.cache / f"{self.cluster}.{self._digest()}.json" if self.folder == OURS else None
        objects = _load(cached) if cached else None
        if objects is None:
            objects = [self._marked(item) for item in self._with_namespace(self._build())]
            if cached:
                _keep(cached, objects)
        return Release(tuple(with_contact_points(objects, self.cluster, self.contact_points)))

    def _digest(self) -> str:
        digest = hashlib.sha256(f"{_FORMAT}\n{self.cluster}\n{self.registry}\n{self.variant}\n".encode())
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(self.folder)}\n{len(content)}\n".encode() + content)
        return digest.hexdigest()[:24]

    def _build(self) -> list[dict[str, Any]]:
        """Return the objects as they are written. kubectl turns YAML into JSON without asking a cluster."""
        if any((self.folder / name).is_file() for name in KUSTOMIZATIONS):
            yaml = self._run([self.program(), "kustomize", str(self.folder)])
            source = ["-f", "-"]
        else:
            yaml, source = None, ["-R", "-f", str(self.folder)]
        label = f"{RELEASE_LABEL}={self.cluster}"
        text = self._run([self.program(), "label", "--local", "--overwrite", *source, label, "-o", "json"], yaml)
        objects = items_of(text)
        if not objects:
            raise InstallError("manifests-empty", f"The manifests in {self.folder} hold no object.")
        return sorted(objects, key=_order)

    def _run(self, argv: Sequence[str], stdin: str | None = None) -> str:
        done = capture(argv, environ=self.environ, timeout_s=RENDER_WITHIN_S, stdin=stdin)
        if done.exit_code != 0:
            facts = {"manifests": str(self.folder), "context": "-", "namespace": NAMESPACE}
            raise kubectl_failure(shlex.join(argv), done.stderr.splitlines(), facts)
        return done.stdout

    def _with_namespace(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add the namespace where objects need it and do not bring it."""
        names = {key_of(item, NAMESPACE) for item in objects}
        needed = any(key.namespace == NAMESPACE for key in names)
        if not needed or any(key.kind == "Namespace" and key.name == NAMESPACE for key in names):
            return objects
        labels = {RELEASE_LABEL: self.cluster}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        return [namespace, *objects]

    def _marked(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an object as it is applied: in its namespace, from the mirror, with its fingerprint."""
        item = copy.deepcopy(item)
        metadata = item.setdefault("metadata", {})
        metadata.pop("creationTimestamp", None)
        if item.get("kind") not in CLUSTER_KINDS:
            metadata.setdefault("namespace", NAMESPACE)
        for container in containers(item):
            container["image"] = mirrored(str(container.get("image", "")), self.registry)
        if self.adapt is not None:
            self.adapt(item)
        annotations = metadata.get("annotations") or {}
        metadata["annotations"] = {**annotations, FINGERPRINT: fingerprint(item)}
        return item


def mirrored(image: str, registry: str) -> str:
    """Return where a mirror has an image of Docker Hub; others stay where they are."""
    if not registry or not image:
        return image
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        if first not in {"docker.io", "index.docker.io"}:
            return image
        image = rest
    if "/" not in image:
        image = f"library/{image}"
    return f"{registry.rstrip('/')}/{image}"


def manifests_probe(source: ManifestSource) -> tuple[str, tuple[Finding, ...]]:
    """Return how rendering went, for preflight."""
    try:
        release = source.release()
    except InstallError as error:
        remedy = Remedy(error.hint, error.hint) if error.hint else None
        return "", (Finding(error.code, error.message, error.evidence, remedy),)
    return f"{count(len(release.objects), 'object')}, {count(len(release.images), 'image')}", ()


_FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass", "StorageClass", "ServiceAccount", "Secret",
          "ConfigMap", "PersistentVolumeClaim", "Service")  # fmt: skip


def _order(item: Mapping[str, Any]) -> tuple[int, str]:
    """What others need comes first."""
    kind = str(item.get("kind", ""))
    return (_FIRST.index(kind) if kind in _FIRST else len(_FIRST), "")


def _load(path: Path) -> list[dict[str, Any]] | None:
    try:
        objects = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    return objects if isinstance(objects, list) and objects else None


def _keep(path: Path, objects: list[dict[str, Any]]) -> None:
    # A cache: where it cannot be kept, the release is rendered again.
    with suppress(OSError):
        make_cache_folder(path.parent)
        for old in path.parent.glob(f"{path.name.partition('.')[0]}.*.json"):
            old.unlink(missing_ok=True)
        write_atomically(path, json.dumps(objects))
