"""The stack's images: pulled into the engine beside the cluster's creation, and loaded from there into its nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.diagnosis.failures import kind_failure, pull_failure
from contextcore_install.providers._kubectl.objects import Manifest
from contextcore_install.providers.kind.engine import Engine
from contextcore_install.tools import process
from contextcore_install.tools.relay import Relay

#: Pulls at the same time: registries and home networks dislike more.
PULLS_AT_ONCE = 4
PULL_S, LOAD_S = 1800.0, 600.0


class Images:
    """Gets images into the engine and into the nodes."""

    def __init__(
        self,
        engine: Engine,
        kind: Callable[[], str],
        environ: Mapping[str, str],
        cluster: str,
        *,
        may_pull: bool,
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._environ = environ
        self._cluster = cluster
        self._may_pull = may_pull
        self._loaded: set[str] = set()

    def has(self, image: str) -> bool:
        """Tell whether the engine has an image."""
        return bool(self._engine.image_ids([image]))

    def could_have(self, image: str) -> bool:
        """Tell whether `get` can be expected to provide an image."""
        return self._may_pull or self.has(image)

    def lacking(self, images: Sequence[str], nodes: Sequence[Manifest]) -> list[str]:
        """Return the images that some node does not say it has, and that were not loaded just now."""
        there = [
            {
                name
                for entry in (node.get("status") or {}).get("images") or []
                for name in entry.get("names") or []
            }
            for node in nodes
        ]
        everywhere = set.intersection(*there) if there else set()
        return [image for image in images if image not in self._loaded and full_name(image) not in everywhere]

    def get(self, images: Sequence[str], ctx: StepContext) -> list[InstallError]:
        """Pull what the engine lacks, several at once; return what could not be had."""
        with ThreadPoolExecutor(PULLS_AT_ONCE) as pool:
            missing = [
                image for image, there in zip(images, pool.map(self.has, images), strict=True) if not there
            ]
            if missing and not self._may_pull:
                ctx.notice(f"not in the container engine, and not to be pulled: {', '.join(missing)}")
                return []
            results = list(pool.map(lambda image: self._pull(image, ctx), missing))
        ctx.raise_if_cancelled()
        return [error for error in results if error is not None]

    def load(self, images: Sequence[str], ctx: StepContext) -> list[str]:
        """Load what the engine has into the nodes; return it. Raises InstallError."""
        there = [image for image in images if self.has(image)]
        if not there:
            return []
        ctx.output(f"loading {', '.join(there)}")
        argv = [self._kind(), "load", "docker-image", *there, "--name", self._cluster]
        done = process.run(argv, ctx, environ=self._environ, timeout_s=LOAD_S, check=False)
        if done.exit_code != 0:
            # Docker's containerd store keeps images in a way that this command cannot read.
            self._load_archive(there, ctx)
        self._loaded.update(there)
        return there

    def _load_archive(self, images: Sequence[str], ctx: StepContext) -> None:
        folder = self._environ.get("TMPDIR") or None
        with tempfile.TemporaryDirectory(prefix="contextcore-images-", dir=folder) as place:
            archive = str(Path(place) / "images.tar")
            for argv in (
                [self._engine.name, "save", "--output", archive, *images],
                [self._kind(), "load", "image-archive", archive, "--name", self._cluster],
            ):
                done = process.run(argv, ctx, environ=self._environ, timeout_s=LOAD_S, check=False)
                if done.exit_code != 0:
                    raise kind_failure(process.failure(done), done.lines, self._engine.facts())

    def _pull(self, image: str, ctx: StepContext) -> InstallError | None:
        argv = [self._engine.name, "pull", image]
        try:
            with ctx.part(f"pull {image}"):
                process.run(
                    argv, Relay(ctx, _Layers(ctx, image).hear), environ=self._environ, timeout_s=PULL_S
                )
        except InstallError as error:
            return pull_failure(image, self._engine.name, error)
        return None


def full_name(image: str) -> str:
    """Return an image's name as nodes tell it: with its registry, which is Docker Hub where none is named."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


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
