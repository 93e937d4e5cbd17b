"""Images for an offline bundle: pulled for its platform, and saved from the container engine as archives."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import cached_property, partial
from typing import IO

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.diagnosis.failures import pull_failure
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kubernetes.manifests import mirrored
from contextcore_install.stack.catalogue import full_name
from contextcore_install.system import process
from contextcore_install.system.packages.bundle_format import FOLDERS, Part
from contextcore_install.system.packages.progress import MIB, paced
from contextcore_install.system.supervisor import Child, Supervisor

PULL_S, SAVE_S = 1800.0, 1800.0  # seconds for an image
#: Since when `docker save` takes a platform (Docker Engine API 1.48). Without, an engine with containerd's store may
#: save an index that names platforms whose content it does not have.
_SAVES_PLATFORM = (1, 48)


class ImageArchives:
    """Images of the engine for one platform, pulled from the mirror `registry`, if any, and saved at last with `ctx`.

    The engine's names are left as they were: an image takes a name that another has, or that none has, only until it is
    saved.
    """

    def __init__(
        self, engine: ContainerEngine, platform: str, ctx: StepContext, *, registry: str, may_pull: bool
    ) -> None:
        self._engine, self._platform, self._ctx = engine, platform, ctx
        self._registry, self._may_pull = registry, may_pull
        self._before: dict[str, str] = {}

    def give_names_back(self) -> None:
        """Give back, at the end, each name that was taken from another image, or made."""
        for name, image in self._before.items():
            self._engine.ask("tag", image, name) if image else self._engine.ask("rmi", name)

    def parts(self, kind: str, image: str, ctx: StepContext) -> list[Part]:
        """Have an image in the engine, under the name that its archive is to give it. Raises InstallError."""
        name, _, digest = image.partition("@")
        version = name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else digest or "latest"
        before, platform = self._look(name)
        if digest or platform != self._platform:
            source = self._pulled(image, ctx)
            if before or source != name:
                self._before[name] = before
            if source != name:
                self._engine.call("tag", source, name)
        path = f"{FOLDERS[kind]}/{re.sub('[^A-Za-z0-9_.-]', '-', name)}.tar"
        return [Part(path, kind, image, version, partial(self._save, name))]

    def _look(self, image: str) -> tuple[str, str]:
        """Return an image's id and platform, as in linux/amd64; both are empty if the engine does not have it."""
        done = self._engine.ask("image", "inspect", "--format", "{{.Id}} {{.Os}}/{{.Architecture}}", image)
        found, _, platform = done.stdout.strip().partition(" ")
        return (found, platform) if done.exit_code == 0 and platform else ("", "")

    def _pulled(self, image: str, ctx: StepContext) -> str:
        """Return the name by which the engine has an image for the platform, pulled if it has none."""
        source = mirrored(image, self._registry)
        for name in (image, source):
            if self._look(name)[1] == self._platform:
                return name
        engine = self._engine.name
        if not self._may_pull:
            message = (
                f"{image} for {self._platform} is not in the container engine, and --pull never forbids to pull it."
            )
            raise InstallError("image-missing", message, hint=f"{engine} pull --platform {self._platform} {source}")
        pulled = full_name(source) if engine == "podman" else source
        ctx.activity(f"pulling {source}")
        argv = [engine, "pull", "--platform", self._platform, pulled]
        try:
            process.run(argv, ctx, environ=self._engine.environ, timeout_s=PULL_S)
        except InstallError as error:
            raise pull_failure(source, engine, error, self._engine.facts()) from error
        return source

    @cached_property
    def _options(self) -> Sequence[str]:
        """What has the engine save one platform of an image; nothing if it knows no such thing, or holds one anyway."""
        if self._engine.name == "nerdctl":
            return ("--platform", self._platform)
        if self._engine.name != "docker":
            return ()
        said = self._engine.ask("version", "--format", "{{.Client.APIVersion}}").stdout
        version = re.match(r"(\d+)\.(\d+)", said)
        known = version and tuple(map(int, version.groups())) >= _SAVES_PLATFORM
        return ("--platform", self._platform) if known else ()

    def _save(self, name: str, sink: IO[bytes]) -> None:
        argv = [self._engine.name, "save", *self._options, name]
        said, saved = bytearray(), 0
        show = paced(lambda: self._ctx.activity(f"saving {name}: {saved // MIB} MiB"))

        def take(chunk: bytes) -> None:
            nonlocal saved
            sink.write(chunk)
            saved += len(chunk)
            show()

        with Supervisor(self._ctx, SAVE_S) as supervisor:
            child = Child(argv, self._engine.environ, stderr=subprocess.PIPE)
            supervisor.add(child, take, said.extend)
            supervisor.attend()
        if child.exit_code != 0 or not saved:
            evidence = said.decode(errors="replace").strip()[-2000:]
            hint = f"{self._engine.name} pull --platform {self._platform} {name}"
            message = f"{self._engine.name} cannot save {name} for {self._platform}."
            raise InstallError("image-not-saved", message, evidence, hint)
