"""Why the container engine cannot pull an image of the stack; it is tried again in any case."""

from __future__ import annotations

from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns

RULES: tuple[Rule, ...] = (
    Rule(
        "pull-rate-limit",
        "The registry of {image} asks for patience (rate limit).",
        "Wait, or log in to the registry.",
        "docker login",
        log=_patterns.RATE_LIMITED,
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-disk-full",
        "The image {image} cannot be pulled: there is no space left on the container engine's disk.",
        "Free some space.",
        "docker system df; docker image prune",
        log=_patterns.NO_SPACE,
        code="image-unavailable",
    ),
    Rule(
        "pull-proxy",
        "The image {image} cannot be pulled: the engine does not get through its proxy.",
        "Correct the engine's proxy (Docker Desktop: Settings, Resources, Proxies).",
        "{engine} info --format '{{{{.HTTPSProxy}}}}'",
        log=_patterns.NO_PROXY,
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-clock",
        "The image {image} cannot be pulled: the clock of the container engine is behind, at {now}.",
        "Start the engine anew: its virtual machine has slept, and takes the time from this machine then.",
        "{restart}",
        log=_patterns.CLOCK_BEHIND,
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-expired",
        "The image {image} cannot be pulled: the certificate of its registry has expired.",
        "See whether the engine's clock is right; if it is, the registry needs a new certificate.",
        "date; {engine} info --format '{{{{.SystemTime}}}}'",
        log=_patterns.EXPIRED,
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-untrusted",
        "The image {image} cannot be pulled: the engine does not trust the certificate that it is shown.",
        "Have the engine trust the authority of the proxy that looks into TLS, here in the file ca.crt.",
        "{trust}",
        log=_patterns.UNTRUSTED,
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-short-name",
        "The image {image} cannot be pulled: Podman is not told which registry a short name is of.",
        "Have it look in Docker Hub.",
        "echo 'unqualified-search-registries = [\"docker.io\"]'"
        " | sudo tee /etc/containers/registries.conf.d/docker.conf",
        log=r"short-name .* did not resolve to an alias",
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-no-name",
        "The image {image} cannot be pulled: the name of its registry is not resolved.",
        "See whether this machine is online, and the engine's DNS.",
        "{engine} pull {image}",
        log=_patterns.NO_NAME,
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-not-found",
        "There is no image {image}, or it is not for everyone.",
        "Correct its name, or log in to its registry.",
        "{engine} pull {image}",
        log=rf"^(?!.*network).*({_patterns.NO_IMAGE}|{_patterns.NO_SUCH_PLATFORM})",
        code="image-unavailable",
        transient=True,
    ),
    Rule(
        "pull-failed",
        "The image {image} cannot be pulled.",
        "See what the engine says.",
        "{engine} pull {image}",
        code="image-unavailable",
        transient=True,
    ),
)
