"""What kind and the container engine say, what it means, and what heals it.

The patterns are pieces of messages of kind, Docker and Podman (their sources, and kind's "Known Issues" page).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import Finding, Remedy, Risk
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.rules import Rule, finding_of, match, shown

INOTIFY = "sudo sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"
RESUME = "./create-cluster.sh --resume"

ENGINE_RULES: tuple[Rule, ...] = (
    Rule(
        "engine-permission",
        "This user may not use the container engine.",
        "Join the group docker, then log in anew.",
        'sudo usermod -aG docker "$(id -un)"',
        log=r"permission denied while trying to connect|dial unix \S+: connect: permission denied",
    ),
    Rule(
        "engine-down",
        "The container engine does not run.",
        "Start it.",
        "{start}",
        log=r"cannot connect to the docker daemon|is the docker daemon running|docker desktop is (not running|unable)"
        r"|cannot connect to podman|unable to connect to podman|connection refused|no such file or directory"
        r"|error during connect",
    ),
)
"""For a container engine that does not answer."""

KIND_RULES: tuple[Rule, ...] = (
    *ENGINE_RULES[:1],
    Rule(
        "engine-down",
        "The container engine does not run.",
        "Start it.",
        "{start}",
        log=r"cannot connect to the docker daemon|is the docker daemon running|cannot connect to podman",
    ),
    Rule(
        "port-in-use",
        "A port that the cluster needs is held by another program.",
        "End what holds it, or choose another port.",
        RESUME + " --port {port_key}=PORT",
        log=r"port is already allocated|ports are not available|address already in use"
        r"|failed to bind host port|bind for \S+ failed",
    ),
    Rule(
        "inotify-limit",
        "The kernel's limits of inotify are too low for the nodes.",
        "Raise them.",
        INOTIFY,
        log=r"could not find a log line that matches|too many open files|inotify",
    ),
    Rule(
        "cgroup-v2-needed",
        "The node image needs cgroup v2, and this engine has cgroup v1.",
        "Boot with cgroup v2, or use an older node image.",
        RESUME + " --node-image kindest/node:v1.32.5",
        log=r"requires cgroup v2|cgroup v1 support (is unsupported|has been removed)"
        r"|configured to not run on a host using cgroup v1",
    ),
    Rule(
        "engine-init",
        "The engine starts containers with an init of its own, which a node cannot have.",
        'Remove "init": true from the engine\'s configuration (daemon.json), and restart it.',
        log=r"couldn't find an alternative telinit",
    ),
    Rule(
        "engine-networks",
        "The engine has no free address range for another network.",
        "Remove networks that nothing uses.",
        "docker network prune",
        log=r"non-overlapping ipv4 address pool|fully subnetted|could not find an available.*address pool",
    ),
    Rule(
        "image-unavailable",
        "The node image {node_image} cannot be pulled.",
        "Get it on another network, or choose one that is here.",
        "docker pull {node_image}",
        log=r"failed to pull image|pull access denied|toomanyrequests|manifest unknown|manifest for \S+ not found",
    ),
    Rule(
        "disk-full",
        "There is no space left on the container engine's disk.",
        "Free some space.",
        "docker system df; docker image prune",
        log=r"no space left on device",
    ),
    Rule(
        "node-exists",
        "Containers of a cluster of this name are there already.",
        "Carry on: what is half made is removed, and made anew.",
        RESUME,
        log=r"node\(s\) already exist for a cluster with the name",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "kubeconfig-locked",
        "The file of kubectl's contexts is locked by another program.",
        "Remove the lock if no other kubectl or kind is at work.",
        'rm "${{KUBECONFIG:-$HOME/.kube/config}}.lock"',
        log=r"failed to lock config file|failed to write kubeconfig.*\.lock|\.lock: file exists",
    ),
    Rule(
        "kubeadm-failed",
        "Kubernetes did not start in its node.",
        "Look at what the kubelet said; memory, disk or cgroups are the usual causes.",
        "docker exec {control_plane} journalctl -u kubelet --no-pager -n 50",
        log=r"failed to init node with kubeadm|failed to join node with kubeadm",
    ),
)
"""For a `kind` command that failed."""

SNAP = Rule(
    "snap-docker",
    "Docker from snap cannot read files outside of the home folder.",
    "Let temporary files be there.",
    'mkdir -p "$HOME/tmp" && TMPDIR="$HOME/tmp" ' + RESUME,
)


def diagnose_engine(lines: Sequence[str], facts: Mapping[str, str]) -> Finding:
    """Say why a container engine does not answer."""
    evidence = Evidence("engine", lines, facts=facts)
    rule = match(ENGINE_RULES, evidence)
    if rule is not None:
        return finding_of(rule, evidence)
    remedy = Remedy("See what it says.", f"{facts.get('engine', 'docker')} info")
    return Finding(
        "engine-error", "The container engine answers with an error.", shown(None, evidence), remedy
    )


def kind_failure(error: InstallError, lines: Sequence[str], facts: Mapping[str, str]) -> InstallError:
    """Return the error that says why kind failed; the given one where no rule knows."""
    evidence = Evidence("kind", lines, facts=facts)
    rule = match(KIND_RULES, evidence)
    if rule is None:
        return error
    finding = finding_of(rule, evidence)
    hint = (finding.remedy.command or finding.remedy.summary) if finding.remedy else ""
    return InstallError(finding.code, finding.message, finding.evidence, hint, retryable=rule.automatic)
