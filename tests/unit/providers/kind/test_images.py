"""How images get from the container engine into nodes, told by what the engine and the nodes' containerd say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from contextcore_install.core.errors import CancelledError, InstallError
from contextcore_install.providers.kind.engine import ContainerEngine
from contextcore_install.providers.kind.images import Images, NodeImages
from kit.fakes import Told

DENIED = "Error response from daemon: manifest for grafana/loki:9 not found: manifest unknown"
#: What containerd of a node says of an archive whose index names platforms that are not in it.
ALL_PLATFORMS = "ctr: content digest sha256:9bbe191f612d: not found"
OTHER_PLATFORM = "ctr: image might be filtered out"
NO_SPACE = "ctr: write /var/lib/containerd/ingest/1/data: no space left on device"
CONTAINERD = {
    "1.7": 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "fuse-overlayfs"',
    "2.3": "version = 3\n[plugins.'io.containerd.cri.v1.images']\nsnapshotter = 'native'",
}
ENGINE = r"""#!/bin/bash
# An engine with images, and nodes whose containerd takes archives: each is a file with a line a platform.
cd {folder}
echo "$*" >>calls
case "$*" in
"ps --all"*) ls nodes; exit;;
"inspect --type container"*)
  printf '['; comma=
  for node in "${{@:4}}"; do
    printf '%s{{"Id":"%s","Name":"/%s","State":{{"Status":"running"}},' "$comma" "$node" "$node"; comma=,
    printf '"Config":{{"Labels":{{"io.x-k8s.kind.role":"worker"}}}}}}'
  done
  echo ']'; exit;;
"image inspect"*) [ -e "images/${{5//\//_}}" ] && echo sha256:1 && exit; echo "No such image" >&2; exit 1;;
pull*) while [ -e "waits-${{2//\//_}}" ]; do sleep 0.05; done
  [ -e pull-says ] || {{ echo linux/amd64 >"images/${{2//\//_}}"; exit; }}; cat pull-says >&2; exit 1;;
save*) [ -e save-says ] && {{ cat save-says >&2; exit 1; }}; cat "images/${{2//\//_}}"; exit;;
*"ctr version") [ -e containerd-starts ] && rm containerd-starts && exit 1; exit 0;;
*"config dump") cat containerd.toml; exit;;
*"images ls --quiet") cat "nodes/$2"; exit;;
*"images tag"*) echo "${{*: -1}}" >>"nodes/$2"; exit;;
*"images import"*)
  archive=$(cat); [ -e "refuses-$4" ] && {{ cat "refuses-$4" >&2; exit 1; }}
  case "$*" in
  *--all-platforms*) [[ $archive = *index* ]] && {{ echo "{all_platforms}" >&2; exit 1; }};;
  *) [[ $archive = *linux/amd64* ]] || {{ echo "{other_platform}" >&2; exit 1; }};;
  esac
  [ -n "$archive" ] && echo imported >>"nodes/$4"; exit;;
esac
echo "unknown: $*" >&2; exit 1
"""


class Lab:
    """An engine and nodes, in a folder."""

    def __init__(self, folder: Path, name: str = "docker", nodes: Sequence[str] = ("one", "two")) -> None:
        self.folder = folder
        for place in ("images", "nodes"):
            (folder / place).mkdir()
        for node in nodes:
            (folder / "nodes" / node).touch()
        self.says("containerd.toml", CONTAINERD["1.7"])
        program = folder / name
        text = ENGINE.format(folder=folder, all_platforms=ALL_PLATFORMS, other_platform=OTHER_PLATFORM)
        program.write_text(text)
        program.chmod(0o755)
        environ = {"PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        self.engine = ContainerEngine(name, environ)

    def images(self, *, may_pull: bool = True) -> Images:
        return Images(self.engine, "demo", may_pull=may_pull)

    def says(self, what: str, text: str) -> None:
        (self.folder / what).write_text(text + "\n")

    def has(self, image: str, platforms: str = "linux/amd64") -> None:
        self.says(f"images/{image.replace('/', '_')}", platforms)

    def node(self, name: str) -> list[str]:
        return (self.folder / "nodes" / name).read_text().split()

    def calls(self, about: str) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if about in line]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_pull_that_fails_is_told_by_its_cause_and_may_be_tried_again(lab: Lab) -> None:
    lab.says("pull-says", DENIED)
    error = lab.images().get(["grafana/loki:9"], Told().ctx)["grafana/loki:9"]
    assert (error.code, error.retryable) == ("image-unavailable", True)
    assert error.message == "There is no image grafana/loki:9, or it is private."
    assert error.hint == "docker pull grafana/loki:9"


@pytest.mark.parametrize("platforms", ["linux/amd64", "index linux/amd64 linux/arm64"])
def test_an_image_is_saved_once_and_loaded_into_all_nodes_whatever_store_the_engine_has(
    lab: Lab, platforms: str
) -> None:
    lab.has("grafana/loki:3", platforms)
    assert not lab.images().provide(["grafana/loki:3"], Told().ctx)
    assert lab.node("one") == lab.node("two") == ["imported"]
    assert len(lab.calls("save")) == 1
    assert not lab.calls("--all-platforms")


def test_an_image_that_is_made_for_another_platform_only_is_loaded_as_it_is(lab: Lab) -> None:
    lab.has("grafana/loki:3", "linux/arm64")
    assert not lab.images().provide(["grafana/loki:3"], Told().ctx)
    assert lab.node("one") == lab.node("two") == ["imported"]


def test_only_what_a_node_lacks_is_loaded_into_it(lab: Lab) -> None:
    lab.has("grafana/loki:3")
    lab.says("nodes/one", "docker.io/grafana/loki:3")
    images = lab.images()
    assert not images.load_lacking(["grafana/loki:3"], Told().ctx, images.nodes())
    assert lab.node("one") == ["docker.io/grafana/loki:3"]
    assert lab.node("two") == ["imported"]


def test_what_the_nodes_have_is_neither_pulled_nor_saved(lab: Lab) -> None:
    for node in ("one", "two"):
        lab.says(f"nodes/{node}", "docker.io/grafana/loki:3")
    images = lab.images()
    assert not images.load_lacking(["grafana/loki:3"], Told().ctx, images.nodes())
    assert not lab.images().provide(["grafana/loki:3"], Told().ctx)
    assert not lab.calls("pull")
    assert not lab.calls("save")


def test_what_a_node_has_and_cannot_use_is_loaded_again(lab: Lab) -> None:
    lab.has("grafana/loki:3")
    lab.says("nodes/one", "docker.io/grafana/loki:3")
    assert not lab.images().provide(["grafana/loki:3"], Told().ctx)
    assert lab.node("one") == ["docker.io/grafana/loki:3", "imported"]


def test_a_node_that_takes_no_image_keeps_it_from_no_other(lab: Lab) -> None:
    lab.has("grafana/loki:3")
    lab.says("refuses-one", NO_SPACE)
    error = lab.images().provide(["grafana/loki:3"], Told().ctx)["grafana/loki:3"]
    assert lab.node("two") == ["imported"]
    assert error.code == "image-not-loaded"
    assert error.message.startswith("The image grafana/loki:3 could not be loaded into one: there is no space")
    assert NO_SPACE in error.evidence


def test_an_image_that_the_engine_has_in_part_keeps_no_other_from_being_loaded(lab: Lab) -> None:
    lab.has("grafana/loki:3", "index linux/arm64")
    lab.has("grafana/mimir:3")
    refused = lab.images().provide(["grafana/loki:3", "grafana/mimir:3"], Told().ctx)
    assert list(refused) == ["grafana/loki:3"]
    assert lab.node("one") == lab.node("two") == ["imported"]


def test_an_engine_that_cannot_save_is_told_by_what_it_says(lab: Lab) -> None:
    lab.has("grafana/loki:3")
    lab.says("save-says", "Error response from daemon: no suitable export target found: image was found but")
    error = lab.images().provide(["grafana/loki:3"], Told().ctx)["grafana/loki:3"]
    assert "the engine does not have all of it" in error.message
    assert error.hint == "docker rmi grafana/loki:3; docker pull grafana/loki:3"
    assert lab.node("one") == []


def test_an_image_that_is_named_by_digest_is_left_to_the_nodes(lab: Lab) -> None:
    image = "grafana/loki@sha256:" + "1" * 64
    assert not lab.images().could_have(image)
    assert not lab.images().provide([image], Told().ctx)
    assert not lab.calls("pull")


def test_an_image_that_podman_has_built_gets_the_name_that_pods_ask_for(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "podman")
    lab.has("localhost/grafana/loki:3")
    assert not lab.images().provide(["grafana/loki:3"], Told().ctx)
    assert lab.calls("save") == ["save localhost/grafana/loki:3"]
    assert lab.node("one") == ["imported", "docker.io/grafana/loki:3"]


def test_podman_pulls_by_the_whole_name_as_it_may_know_no_registry_to_search(tmp_path: Path) -> None:
    lab = Lab(tmp_path, "podman")
    assert not lab.images().provide(["grafana/loki:3", "ghcr.io/a/b:1"], Told().ctx)
    assert sorted(lab.calls("pull")) == ["pull docker.io/grafana/loki:3", "pull ghcr.io/a/b:1"]
    assert lab.node("two") == ["imported", "imported"]


@pytest.mark.parametrize(("version", "snapshotter"), [("1.7", "fuse-overlayfs"), ("2.3", "native")])
def test_images_are_unpacked_as_the_kubelets_are(lab: Lab, version: str, snapshotter: str) -> None:
    lab.says("containerd.toml", CONTAINERD[version])
    assert NodeImages.of(lab.engine, "one").snapshotter == snapshotter


def test_a_node_that_says_nothing_of_its_snapshotter_uses_its_own(lab: Lab) -> None:
    lab.says("containerd.toml", "containerd: unknown command")
    lab.has("grafana/loki:3")
    assert not lab.images().provide(["grafana/loki:3"], Told().ctx)
    assert not lab.calls("--snapshotter")


def test_an_engine_that_does_not_answer_is_told_of_every_image(lab: Lab) -> None:
    refused = InstallError("engine-contradicts", "no")
    images = Images(ContainerEngine("docker", lab.engine.environ, refused), "demo", may_pull=True)
    assert images.provide(["a:1", "b:1"], Told().ctx) == {"a:1": refused, "b:1": refused}


def test_loading_ends_as_soon_as_the_step_is_to_end(lab: Lab) -> None:
    told = Told()
    lab.has("grafana/loki:3")
    told.token.cancel("Ctrl-C")
    with pytest.raises(CancelledError):
        lab.images().provide(["grafana/loki:3"], told.ctx)


def test_images_that_every_node_has_need_no_loading() -> None:
    images = Images(None, "demo", may_pull=False)  # type: ignore[arg-type]
    has = {"status": {"images": [{"names": ["docker.io/grafana/loki:3", "docker.io/library/b:1"]}]}}
    assert images.lacking(["grafana/loki:3", "b:1", "ghcr.io/c:1"], lambda: [has]) == ["ghcr.io/c:1"]
    assert images.lacking(["grafana/loki:3"], lambda: [has, {"status": {}}]) == ["grafana/loki:3"]
    assert images.lacking(["b:1"], list) == ["b:1"]
