"""The images in an offline bundle, which go from its file straight into the engine and the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import IO, TYPE_CHECKING

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.text import count
from contextcore_install.diagnosis.failures import load_failure, machine_findings
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.system.packages.progress import MIB, paced
from contextcore_install.system.process import pipe
from contextcore_install.system.programs import KIND, Tool

if TYPE_CHECKING:  # few runs use a bundle
    from contextcore_install.system.packages.bundle_file import BundleFile
    from contextcore_install.system.packages.bundle_format import BundleEntry

NODE_IMAGE, IMAGE = "node-image", "image"
LOAD_S = 600.0  # seconds for the engine to take an image


class BundleImages:
    """Archives as of `docker save`, given to nobody before all of one was checked. Reading raises InstallError."""

    def __init__(self, path: Path, key: str = "") -> None:
        self._path, self._key = path, key
        self._checked: dict[str, tuple[int, ...]] = {}  # what the file was when an image in it was checked

    @cached_property
    def _bundle(self) -> BundleFile:
        from contextcore_install.system.packages.bundle_file import open_bundle

        return open_bundle(self._path, self._key)

    @cached_property
    def _entries(self) -> dict[str, BundleEntry]:
        return {tag_of(entry.name): entry for kind in (NODE_IMAGE, IMAGE) for entry in self._bundle.entries(kind)}

    @property
    def node_image(self) -> str:
        """The tag by which an engine knows the bundle's node image, as archives carry no digest; empty if none."""
        return next((tag_of(entry.name) for entry in self._bundle.entries(NODE_IMAGE)), "")

    @property
    def kind(self) -> Tool:
        """What kind must be: not older than the bundle's own, as older ones may not know its node image."""
        entry = next((entry for entry in self._bundle.entries("tool") if entry.name == KIND.name), None)
        numbers = entry.version.split(".")[:2] if entry else ()
        return replace(KIND, oldest=max(KIND.oldest, tuple(map(int, numbers))))

    def holds(self, image: str) -> bool:
        return image in self._entries

    def command(self, image: str) -> str:
        """Return the command by which a person prints an archive."""
        return f"tar -xOf {quote(str(self._path))} {self._entries[image].path}"

    def requirement(self, needed: Callable[[], Sequence[str]]) -> Requirement:
        """Return that the bundle has the images that are needed, and that they were checked."""

        def probe() -> Probe:
            try:
                images = needed()
            except InstallError as error:
                return Probe(f"not known: {error.message}", skipped=True)  # the probe of the engine says why
            lacks = ", ".join(image for image in images if not self.holds(image))
            is_new = not lacks and not self.is_checked(images)
            facts = {"bundle": self._path.name, "bundle_lacks": lacks, "bundle_checked": "no" if is_new else "yes"}
            evidence = "" if lacks else f"{count(len(images), 'image')} from {self._path}"
            return Probe(evidence, machine_findings(facts, str(self._path)))

        # All of them: which ones are needed is not known before there is a kubectl, which may come from the bundle too.
        return Requirement("bundle", "The offline bundle", probe, lambda ctx: self.check([*self._entries], ctx))

    def is_checked(self, images: Sequence[str]) -> bool:
        """Tell whether all of the archives were read, and the file is still as it was then."""
        identity = self._identity()
        return all(self._checked.get(image) == identity for image in images)

    def check(self, images: Sequence[str], ctx: StepContext) -> None:
        """Read all of the archives, unless the file is still as it was when that was done."""
        wanted = [self._entries[image] for image in images if self.holds(image) and not self.is_checked([image])]
        identity = self._identity()
        done, of = 0, sum(entry.size for entry in wanted) // MIB
        show = paced(lambda total: ctx.activity(f"checking {self._path.name}: {total // MIB} of {of} MiB"))
        for entry in wanted:
            for chunk in self._bundle.chunks(entry):
                ctx.raise_if_cancelled()
                done += len(chunk)
                show(done)
            self._checked[tag_of(entry.name)] = identity

    @contextmanager
    def open(self, image: str, ctx: StepContext, undo: Callable[[], object]) -> Iterator[IO[bytes]]:
        """Give an archive that was checked; if the file is changed meanwhile, call `undo` and raise InstallError."""
        self.check([image], ctx)
        with self._bundle.open_member(self._entries[image]) as archive:
            yield archive
        if not self.is_checked([image]):
            undo()
            raise InstallError("bundle-changed", f"{self._path} was changed while it was read.")

    def load(self, image: str, engine: ContainerEngine, ctx: StepContext, timeout_s: float = LOAD_S) -> None:
        """Load an image of the bundle into the engine, if it lacks it. Raises InstallError."""
        if not self.holds(image) or engine.has_image(image):
            return
        of = self._entries[image].size // MIB
        show = paced(lambda total: ctx.activity(f"loading {image}: {total // MIB} of {of} MiB"))
        argv, environ = [engine.name, "load"], engine.environ
        with ctx.part("node image"), self.open(image, ctx, lambda: engine.ask("rmi", image)) as archive:
            _, (done,) = pipe(archive, [argv], environ=environ, timeout_s=timeout_s, ctx=ctx, moved=show)
        if done.exit_code != 0 or not engine.has_image(image):
            by_hand = f"{self.command(image)} | {engine.name} load"
            facts = {"image": image, "engine": engine.name, "nodes": engine.name, "by_hand": by_hand}
            raise load_failure(done.stderr.splitlines(), facts)

    def _identity(self) -> tuple[int, ...]:
        """Return what changes with the file; nobody can set the last of it."""
        try:
            facts = self._path.stat()
        except OSError as error:
            raise InstallError("bundle-missing", f"{self._path} is not there any more.") from error
        return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def tag_of(image: str) -> str:
    """Return an image's name without its digest."""
    return image.partition("@")[0]
