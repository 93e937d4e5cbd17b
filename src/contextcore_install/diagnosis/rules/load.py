"""Why an image that the container engine has cannot be loaded into nodes; these then pull it themselves."""

from __future__ import annotations

from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns

RULES: tuple[Rule, ...] = (
    Rule(
        "load-disk-full",
        "The image {image} could not be loaded into {nodes}: there is no space left on the container engine's disk.",
        "Free some space.",
        "docker system df; docker image prune",
        log=_patterns.NO_SPACE,
        code="image-not-loaded",
    ),
    # moby's daemon/containerd/image_exporter.go; ctr, of an archive whose index names what is not in it
    Rule(
        "load-incomplete",
        "The image {image} could not be loaded into {nodes}: the engine does not have all of it.",
        "Have the engine get it anew.",
        "{engine} rmi {image}; {engine} pull {image}",
        log=r"content digest \S+ not found|no suitable export target",
        code="image-not-loaded",
    ),
    Rule(
        "load-no-ctr",
        "The image {image} could not be loaded into {nodes}: the node image has no `ctr`.",
        "Use a node image of kind's.",
        log=r"\"ctr\": executable file not found|exec: ctr: not found",
        code="image-not-loaded",
    ),
    Rule(
        "load-failed",
        "The image {image} could not be loaded into {nodes}.",
        "Try it by hand.",
        "{by_hand}",
        code="image-not-loaded",
    ),
)
