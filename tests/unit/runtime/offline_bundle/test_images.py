"""Images of a bundle: pulled for its platform, saved under the name that pods know, and the engine left as it was."""

from __future__ import annotations

import io
import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.runtime.offline_bundle.images import ImageArchives
from kit.fakes import Told

AMD, ARM, LOKI = "linux/amd64", "linux/arm64", "grafana/loki:3.7.6"
NODE, DIGEST = "kindest/node:v1", f"sha256:{'0' * 64}"

#: An engine that keeps the names of its images, each with id and platform, in a file, and one image a name.
ENGINE = f"""#!{sys.executable}
import json, sys
from pathlib import Path
store, (verb, *words) = Path(__file__).with_name("store.json"), sys.argv[1:]
world = json.loads(store.read_text())
images, platform = world["images"], words[words.index("--platform") + 1] if "--platform" in words else ""
world["asked"].append(" ".join(sys.argv[1:]))
if verb == "version":
    print(world["api"])
elif verb == "image":
    print(*images.get(words[-1]) or sys.exit(1))
elif verb == "pull":
    if words[-1] not in world["registry"]:
        sys.exit("manifest unknown")
    images[words[-1]] = [f"id-of-{{words[-1]}}-{{platform}}", platform]
elif verb == "tag":
    held = [image for name, image in images.items() if words[0] in (name, image[0])]
    images[words[1]] = held[0] if held else [words[0], world["platform"]]
elif verb == "rmi":
    del images[words[-1]]
elif verb == "save":
    print(" ".join(images.get(words[-1]) or sys.exit("no such image")), platform or "any", end="")
store.write_text(json.dumps(world))
"""


class Engine:
    """The fake engine as it is found on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._store = folder, folder / "store.json"
        self.write(images={}, registry=[], asked=[], api="1.51", platform=AMD)
        for name in ("docker", "podman"):
            (folder / name).write_text(ENGINE)
            (folder / name).chmod(0o755)

    def write(self, **facts: object) -> None:
        known = json.loads(self._store.read_text()) if self._store.exists() else {}
        self._store.write_text(json.dumps(known | facts))

    def read(self, name: str) -> object:
        return json.loads(self._store.read_text())[name]

    def save(
        self, image: str, platform: str = AMD, *, registry: str = "", may_pull: bool = True, name: str = "docker"
    ) -> tuple[str, str, str]:
        """Return what the bundle gets of an image: the path, the image's version, and what was saved."""
        told = Told()
        engine = ContainerEngine(name, {"PATH": f"{self.folder}:/usr/bin:/bin"})
        archives = ImageArchives(engine, platform, told.ctx, registry=registry, may_pull=may_pull)
        with ExitStack() as stack:
            stack.callback(archives.give_names_back)
            (part,) = archives.parts("image", image, told.ctx)
            sink = io.BytesIO()
            part.write(sink)
        return part.path, part.version, sink.getvalue().decode()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def test_an_image_that_the_engine_has_is_saved_and_not_pulled(engine: Engine) -> None:
    engine.write(images={LOKI: ["id-1", AMD]})
    assert engine.save(LOKI, may_pull=False) == ("images/grafana-loki-3.7.6.tar", "3.7.6", f"id-1 {AMD} {AMD}")
    assert engine.read("images") == {LOKI: ["id-1", AMD]}


def test_an_image_is_pulled_from_the_mirror_and_saved_under_its_own_name(engine: Engine) -> None:
    mirrored = f"mirror.example/hub/{LOKI}"
    engine.write(registry=[mirrored])
    assert engine.save(LOKI, registry="mirror.example/hub")[2] == f"id-of-{mirrored}-{AMD} {AMD} {AMD}"
    assert list(engine.read("images")) == [mirrored], "the name that it took for that is gone"  # type: ignore[call-overload]


def test_another_platforms_image_takes_the_name_only_until_it_is_saved(engine: Engine) -> None:
    engine.write(images={LOKI: ["id-1", AMD]}, registry=[LOKI])
    assert engine.save(LOKI, ARM)[2] == f"id-of-{LOKI}-{ARM} {ARM} {ARM}"
    assert engine.read("images") == {LOKI: ["id-1", AMD]}


def test_an_image_by_digest_is_saved_under_its_tag(engine: Engine) -> None:
    pinned = f"{NODE}@{DIGEST}"
    engine.write(registry=[pinned], images={NODE: ["id-1", AMD]})
    path, version, saved = engine.save(pinned)
    assert (path, version) == ("images/kindest-node-v1.tar", "v1")
    assert saved.startswith(f"id-of-{pinned}"), "a tag of the same name proves nothing"
    assert engine.read("images") == {NODE: ["id-1", AMD], pinned: [f"id-of-{pinned}-{AMD}", AMD]}


@pytest.mark.parametrize(("name", "api"), [("docker", "1.47"), ("docker", ""), ("podman", "1.51")])
def test_an_engine_that_cannot_save_one_platform_is_not_asked_to(engine: Engine, name: str, api: str) -> None:
    engine.write(images={LOKI: ["id-1", AMD]}, api=api)
    assert engine.save(LOKI, name=name)[2] == f"id-1 {AMD} any"


def test_what_may_not_be_pulled_or_cannot_be_is_one_sentence(engine: Engine) -> None:
    engine.write(images={LOKI: ["id-1", AMD]})
    with pytest.raises(InstallError, match=f"{LOKI} for {ARM} is not in the container engine") as caught:
        engine.save(LOKI, ARM, may_pull=False)
    assert caught.value.hint == f"docker pull --platform {ARM} {LOKI}"
    with pytest.raises(InstallError, match=LOKI):
        engine.save(LOKI, ARM)
    assert engine.read("images") == {LOKI: ["id-1", AMD]}


def test_an_engine_that_fails_to_save_is_quoted(engine: Engine) -> None:
    engine.write(registry=[LOKI])
    told = Told()
    archives = ImageArchives(
        ContainerEngine("docker", {"PATH": f"{engine.folder}:/usr/bin:/bin"}), AMD, told.ctx, registry="", may_pull=True
    )
    (part,) = archives.parts("image", LOKI, told.ctx)
    engine.write(images={})
    with pytest.raises(InstallError, match=f"docker cannot save {LOKI} for {AMD}") as caught:
        part.write(io.BytesIO())
    assert "no such image" in caught.value.evidence
