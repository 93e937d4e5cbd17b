"""The stack's images: pulled into the engine beside the cluster's creation, and piped from there into its nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.failures import load_failure, pull_failure
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.engine_info import MIB
from contextcore_install.providers.kind.node_images import IMPORT_WAYS, NodeImages, import_argv, rename
from contextcore_install.providers.kubernetes.objects import Manifest
from contextcore_install.system import process
from contextcore_install.system.pipes import pipe

#: Pulls at the same time: registries and home networks dislike more.
PULLS_AT_ONCE = 4
PULL_S, LOAD_S = 1800.0, 600.0
#: Seconds of the step's time that are left over when images take too long: the nodes can pull them themselves.
LEFT_OVER_S = 30.0
#: Seconds between two words on how far it is.
TELL_EVERY_S = 0.3

Refused = dict[str, InstallError]
"""Images that could not be had, each with the reason."""


class Images:
    """Gets images into the engine and into the nodes. What cannot be had is returned, never raised."""

    def __init__(self, engine: ContainerEngine, cluster: str, *, may_pull: bool) -> None:
        self._engine = engine
        self._cluster = cluster
        self._may_pull = may_pull
        self._loaded: set[str] = set()

    def could_have(self, image: str) -> bool:
        """Tell whether `provide` can be expected to provide an image."""
        return not by_digest(image) and (self._may_pull or bool(self._held(image)))

    def lacking(self, images: Sequence[str], nodes: Sequence[Manifest]) -> list[str]:
        """Return the images that some node does not say it has, and that were not loaded just now."""
        there = [
            {name for entry in (node.get("status") or {}).get("images") or [] for name in entry.get("names") or []}
            for node in nodes
        ]
        everywhere = set.intersection(*there) if there else set()
        return [image for image in images if image not in self._loaded and full_name(image) not in everywhere]

    def provide(self, images: Sequence[str], ctx: StepContext, *, again: bool = False) -> Refused:
        """Load what the nodes lack, pulled where the engine lacks it as well; with `again`, what they have as well."""
        try:
            nodes = self._nodes()
        except InstallError as error:
            return dict.fromkeys(images, error)
        absent = [image for image in images if any(full_name(image) not in node.names for node in nodes)]
        refused = self.get(absent, ctx)
        return {**refused, **self._load_all(images if again else absent, nodes, ctx, again=again)}

    def provide_beside(self, images: Callable[[], Sequence[str]], nodes_run: threading.Event, ctx: StepContext) -> None:
        """Pull images, and load them once there are nodes; tell which of them could not be. Raises CancelledError."""
        refused: Refused = {}
        try:
            with ctx.part("images"):
                wanted = images()
                refused = self.get(wanted, ctx)
                while not nodes_run.wait(0.2):
                    ctx.raise_if_cancelled()
                refused |= self.load(wanted, ctx)
                if refused:
                    raise next(iter(refused.values()))  # so that the part is recorded as failed
        except InstallError as failed:
            for error in dict.fromkeys(refused.values()) or [failed]:
                ctx.notice(f"{error.message} The nodes pull what they lack, if they can.")
                ctx.output(error.evidence)

    def get(self, images: Sequence[str], ctx: StepContext) -> Refused:
        """Pull what the engine lacks, several at once."""
        by_name = [image for image in images if not by_digest(image)]
        with ThreadPoolExecutor(PULLS_AT_ONCE) as pool:
            held = pool.map(self._held, by_name)
            missing = [image for image, name in zip(by_name, held, strict=True) if not name]
            if missing and not self._may_pull:
                ctx.notice(f"not in the container engine, and not to be pulled: {', '.join(missing)}")
                return {}
            results = zip(missing, pool.map(lambda image: self._pull(image, ctx), missing), strict=True)
            refused = {image: error for image, error in results if error is not None}
        ctx.raise_if_cancelled()
        return refused

    def load(self, images: Sequence[str], ctx: StepContext) -> Refused:
        """Load what the engine has into the nodes that lack it."""
        try:
            return self._load_all(images, self._nodes(), ctx)
        except InstallError as error:
            return dict.fromkeys(images, error)

    def _load_all(
        self, images: Sequence[str], nodes: Sequence[NodeImages], ctx: StepContext, *, again: bool = False
    ) -> Refused:
        refused = {}
        for image in images:
            lacking = [node for node in nodes if again or full_name(image) not in node.names]
            name = self._held(image) if lacking and not by_digest(image) else ""
            try:
                if name:
                    self._load(image, name, lacking, ctx)
                    self._loaded.add(image)
            except InstallError as error:
                refused[image] = error
        return refused

    def _load(self, image: str, name: str, nodes: Sequence[NodeImages], ctx: StepContext) -> None:
        """Pipe an image that the engine has by some name into all of the nodes. Raises InstallError."""
        ctx.output(f"loading {image} into {', '.join(node.node for node in nodes)}")
        left, said = list(nodes), ""
        for way in IMPORT_WAYS:
            saved, imported = pipe(
                [self._engine.name, "save", name],
                [import_argv(self._engine.name, node, way) for node in left],
                environ=self._engine.environ,
                timeout_s=_in_time(LOAD_S, ctx),
                ctx=ctx,
                moved=_Bytes(ctx, image, len(nodes)).tell,
            )
            left = [node for node, done in zip(left, imported, strict=True) if done.exit_code != 0]
            if not left:
                break
            said = said or "\n".join(done.stderr.strip() for done in (saved, *imported) if done.exit_code != 0)
        if left:
            facts = {
                "image": image,
                "engine": self._engine.name,
                "nodes": ", ".join(node.node for node in left),
                "by_hand": by_hand(self._engine.name, name, left[0].node),
            }
            raise load_failure(said.splitlines(), facts)
        if full_name(name) != full_name(image):
            rename(self._engine, nodes, full_name(name), full_name(image), ctx)

    def _nodes(self) -> list[NodeImages]:
        """Return the nodes that run, with the images that they have. Raises InstallError."""
        running = [
            node.name for node in self._engine.nodes(self._cluster) if node.is_member and node.state == "running"
        ]
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            return list(pool.map(lambda node: NodeImages.of(self._engine, node), running))

    def _held(self, image: str) -> str:
        """Return the name by which the engine has an image; empty where it does not have it."""
        try:
            held = self._engine.image_ids(self._names(image))
        except InstallError:
            return ""
        return next(iter(held), "")

    def _names(self, image: str) -> list[str]:
        """Return the names that an image may have in the engine: Podman's own builds live under localhost."""
        if self._engine.name != "podman" or full_name(image) == image:
            return [image]
        return [full_name(image), f"localhost/{image}"]

    def _pull(self, image: str, ctx: StepContext) -> InstallError | None:
        # Podman resolves no short name where its configuration names no registry to search.
        name = full_name(image) if self._engine.name == "podman" else image
        try:
            with ctx.part(f"pull {image}"):
                process.run(
                    [self._engine.name, "pull", name],
                    ctx,
                    hear=_Layers(ctx, image).hear,
                    environ=self._engine.environ,
                    timeout_s=_in_time(PULL_S, ctx),
                )
        except InstallError as error:
            return pull_failure(image, self._engine.name, error, self._engine.facts())
        return None


def by_hand(engine: str, image: str, node: str) -> str:
    """Return the command by which a person loads an image into a node, whatever store the engine has."""
    return f"{engine} save {image} | {engine} exec -i {node} ctr -n k8s.io images import -"


def by_digest(image: str) -> bool:
    """Tell whether an image is named by its digest: an archive cannot carry that name, so nodes pull it themselves."""
    return "@" in image


def full_name(image: str) -> str:
    """Return an image's name as nodes tell it: with its registry, which is Docker Hub where none is named."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def _in_time(limit_s: float, ctx: StepContext) -> float:
    """Return a time limit that leaves the step some of its own."""
    return max(1.0, min(limit_s, ctx.remaining_s - LEFT_OVER_S))


class _Bytes:
    """Says how far loading is."""

    def __init__(self, ctx: StepContext, image: str, nodes: int) -> None:
        self._ctx = ctx
        self._what = f"loading {image} into {nodes} node{'s' if nodes > 1 else ''}"
        self._told = time.monotonic()

    def tell(self, total: int) -> None:
        """Take in how many bytes there have been."""
        if time.monotonic() - self._told >= TELL_EVERY_S:
            self._told = time.monotonic()
            self._ctx.activity(f"{self._what}: {total // MIB} MiB")


class _Layers:
    """Says how far a pull is: layers done of layers seen."""

    def __init__(self, ctx: StepContext, image: str) -> None:
        self._ctx = ctx
        self._image = image
        self._done: dict[str, bool] = {}

    def hear(self, line: str) -> None:
        """Take a line of `docker pull` in, such as `4f4fb700ef54: Pull complete`."""
        layer, _, said = line.partition(": ")
        if not said or " " in layer:
            return
        done = said.startswith(("Pull complete", "Already exists"))
        self._done[layer] = done or self._done.get(layer, False)
        ready = sum(self._done.values())
        self._ctx.activity(f"pulling {self._image}: {ready} of {len(self._done)} layers")
