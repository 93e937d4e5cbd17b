"""The stack's images: pulled into the engine, and piped from there, or from a bundle, into the cluster's nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.text import count
from contextcore_install.diagnosis.failures import load_failure, pull_failure
from contextcore_install.providers.kind.bundle_images import BundleImages
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.stack.catalogue import full_name
from contextcore_install.system import process
from contextcore_install.system.packages.progress import MIB, paced
from contextcore_install.system.process import pipe

PULLS_AT_ONCE = 2  # each takes the whole line as it is: one that is here is loaded while the next one is pulled
PULL_S, LOAD_S, RENAME_S = 1800.0, 600.0, 60.0  # seconds for a pull, a load, and a rename
LEFT_OVER_S = 30.0  # seconds of the step's time, when images take too long: the nodes can pull them themselves
CTR = ("ctr", "--namespace=k8s.io", "images")
# How an archive is imported, in the order in which it is tried. Without a platform, a node takes what is made for its
# own: an engine with containerd's store saves an index that names the other platforms too, whose content it never had
# (kind's issue 3795). With all, a node takes an image that is made for another platform only, which some engines
# emulate.
IMPORT_OPTIONS: tuple[tuple[str, ...], ...] = ((), ("--all-platforms",))

Refused = dict[str, InstallError]  # images that could not be provided, each with the reason


@dataclass(frozen=True, slots=True)
class NodeImages:
    """The names of the images in a node's own store, which is containerd's. `snapshotter` is empty if unknown."""

    node: str
    names: frozenset[str]
    snapshotter: str = ""

    @classmethod
    def of(cls, engine: ContainerEngine, node: str) -> Self:
        names = frozenset(engine.printed("exec", node, *CTR, "ls", "--quiet").split())
        return cls(node, names, _snapshotter(engine.printed("exec", node, "containerd", "config", "dump")))

    def lacks(self, image: str) -> bool:
        return full_name(image) not in self.names

    def import_argv(self, engine: str, options: Sequence[str]) -> list[str]:
        """Return the command that imports an archive from its input, as kind does it but for the platforms."""
        snapshotter = [f"--snapshotter={self.snapshotter}"] if self.snapshotter else []
        inside = [engine, "exec", "--privileged", "-i", self.node]
        return [*inside, *CTR, "import", "--digests", *options, *snapshotter, "-"]


def _snapshotter(dumped: str) -> str:
    """Return what unpacks the kubelet's images, by a configuration of containerd 2 or 1; empty if it does not say."""
    import tomllib

    try:
        plugins = tomllib.loads(dumped)["plugins"]
        second, first = (plugins.get(f"io.containerd.{name}", {}) for name in ("cri.v1.images", "grpc.v1.cri"))
        return str(second.get("snapshotter") or first.get("containerd", {}).get("snapshotter") or "")
    except (tomllib.TOMLDecodeError, RecursionError, LookupError, AttributeError, TypeError):
        return ""


@dataclass
class Images:
    """Gets images into the engine and into the nodes. What cannot be provided is returned, never raised."""

    engine: ContainerEngine
    cluster: str
    may_pull: bool
    bundle: BundleImages | None = None
    _loaded: set[str] = field(default_factory=set)

    def could_have(self, image: str) -> bool:
        return not by_digest(image) and (self.may_pull or bool(self._held(image)))

    def lacking(self, images: Sequence[str], nodes: Callable[[], Sequence[Mapping[str, Any]]]) -> list[str]:
        """Return the images that can be loaded, were not just now, and that some node does not report."""
        images = [image for image in images if not by_digest(image) and image not in self._loaded]
        reported = [
            {name for entry in (node.get("status") or {}).get("images") or [] for name in entry.get("names") or []}
            for node in (nodes() if images else ())
        ]
        everywhere = set.intersection(*reported) if reported else set()
        return [image for image in images if full_name(image) not in everywhere]

    def provide(self, images: Sequence[str], ctx: StepContext) -> Refused:
        """Load images into every node, whatever it says that it has; one that a node and the engine lack is pulled."""
        try:
            nodes = self.nodes()
        except InstallError as error:
            return dict.fromkeys(images, error)
        absent = [image for image in images if any(node.lacks(image) for node in nodes)]
        return self.get(absent, ctx) | self.load_lacking(images, ctx, nodes, again=True)

    def get(self, images: Sequence[str], ctx: StepContext) -> Refused:
        """Pull what the engine lacks, several at once."""
        ctx.raise_if_cancelled()
        by_name = [image for image in images if not by_digest(image)]
        with ThreadPoolExecutor(PULLS_AT_ONCE) as pool:
            held = dict(zip(by_name, pool.map(self._held, by_name), strict=True))
            missing = [image for image, name in held.items() if not name]
            if missing and not self.may_pull:
                ctx.notice(f"not in the container engine, and not to be pulled: {', '.join(missing)}")
                return {}
            errors = dict(zip(missing, pool.map(lambda image: self._pull(image, ctx), missing), strict=True))
        ctx.raise_if_cancelled()
        return {image: error for image, error in errors.items() if error is not None}

    def load_lacking(
        self, images: Sequence[str], ctx: StepContext, nodes: Sequence[NodeImages], *, again: bool = False
    ) -> Refused:
        """Load what the bundle or the engine has into the nodes that lack it; with `again`, into each."""
        refused = {}
        for image in images:
            lacking = [node for node in nodes if again or node.lacks(image)]
            name = self._held(image) if lacking and not by_digest(image) else ""
            try:
                if name:
                    self._load(image, name, lacking, ctx)
                    self._loaded.add(image)
            except InstallError as error:
                refused[image] = error
        return refused

    def _load(self, image: str, name: str, nodes: Sequence[NodeImages], ctx: StepContext) -> None:
        """Pipe an image that the bundle or the engine has by some name into all of the nodes. Raises InstallError."""
        engine, environ = self.engine.name, self.engine.environ
        ctx.output(f"loading {image} into {', '.join(node.node for node in nodes)}")
        left, said, where = list(nodes), "", count(len(nodes), "node")
        show = paced(lambda total: ctx.activity(f"loading {image} into {where}: {total // MIB} MiB"))
        for options in IMPORT_OPTIONS:
            imports, timeout_s = [node.import_argv(engine, options) for node in left], _in_time(LOAD_S, ctx)
            with self._open(name, ctx, lambda: self._remove(image, nodes)) as source:
                saved, imported = pipe(source, imports, environ=environ, timeout_s=timeout_s, ctx=ctx, moved=show)
            left = [node for node, done in zip(left, imported, strict=True) if done.exit_code != 0]
            if not left:
                break
            said = said or "\n".join(done.stderr.strip() for done in (saved, *imported) if done.exit_code != 0)
        if left:
            facts = {"image": image, "engine": engine, "nodes": ", ".join(node.node for node in left)}
            by_hand = load_by_hand(engine, name, left[0].node, self.bundle)
            raise load_failure(said.splitlines(), {**facts, "by_hand": by_hand})
        if full_name(name) != full_name(image):  # to the name that the manifests know it by
            for node in nodes:
                rename = [engine, "exec", node.node, *CTR, "tag", "--force", full_name(name), full_name(image)]
                process.run(rename, ctx, environ=environ, timeout_s=RENAME_S)

    def _open(self, name: str, ctx: StepContext, undo: Callable[[], object]) -> AbstractContextManager[Any]:
        """Give what is, or prints, an image's archive; `undo` takes back what was made of one that was changed."""
        if self.bundle and self.bundle.holds(name):
            return self.bundle.open(name, ctx, undo)
        return nullcontext([self.engine.name, "save", name])

    def _remove(self, image: str, nodes: Sequence[NodeImages]) -> None:
        for node in nodes:
            self.engine.ask("exec", node.node, *CTR, "rm", full_name(image))

    def nodes(self) -> list[NodeImages]:
        """Return the nodes that run, with the images that they have. Raises InstallError."""
        nodes = [node for node in self.engine.nodes(self.cluster) if node.is_member and node.state == "running"]
        with ThreadPoolExecutor(max(1, len(nodes))) as pool:
            return list(pool.map(lambda node: NodeImages.of(self.engine, node.name), nodes))

    def _held(self, image: str) -> str:
        """Return the name by which the bundle or the engine has an image; empty if neither does."""
        if self.bundle and self.bundle.holds(image):
            return image
        names = [image]
        if self.engine.name == "podman" and full_name(image) != image:
            names = [full_name(image), f"localhost/{image}"]  # Podman's own builds are under localhost
        try:
            return next((name for name in names if self.engine.has_image(name)), "")
        except InstallError:
            return ""

    def _pull(self, image: str, ctx: StepContext) -> InstallError | None:
        engine, environ = self.engine.name, self.engine.environ
        # Podman does not resolve a short name if its configuration names no registry to search.
        pull = [engine, "pull", full_name(image) if engine == "podman" else image]
        show, timeout_s = _pull_progress(ctx, image), _in_time(PULL_S, ctx)
        try:
            with ctx.part(f"pull {image}"):
                process.run(pull, ctx, hear=show, environ=environ, timeout_s=timeout_s)
        except InstallError as error:
            return pull_failure(image, engine, error, self.engine.facts())
        return None


def load_by_hand(engine: str, image: str, node: str, bundle: BundleImages | None = None) -> str:
    """Return the command for a person, which works whatever store the engine has."""
    save = bundle.command(image) if bundle and bundle.holds(image) else f"{engine} save {image}"
    return f"{save} | {engine} exec -i {node} ctr -n k8s.io images import -"


def by_digest(image: str) -> bool:
    """Tell whether an image is named by its digest: an archive cannot carry that name, so nodes pull it themselves."""
    return "@" in image


def _in_time(limit_s: float, ctx: StepContext) -> float:
    """Return a time limit that leaves the step some of its own."""
    return max(1.0, min(limit_s, ctx.remaining_s - LEFT_OVER_S))


def _pull_progress(ctx: StepContext, image: str) -> Callable[[str], None]:
    """Return what takes in lines of `docker pull`, such as `4f4fb700ef54: Pull complete`, and shows the progress."""
    layers: dict[str, bool] = {}

    def show(line: str) -> None:
        layer, _, said = line.partition(": ")
        if said and " " not in layer:
            layers[layer] = said.startswith(("Pull complete", "Already exists")) or layers.get(layer, False)
            ctx.activity(f"pulling {image}: {sum(layers.values())} of {len(layers)} layers")

    return show
