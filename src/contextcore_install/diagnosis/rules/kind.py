"""Why `kind` failed.

From messages of kind, Docker and Podman (their sources, and kind's "Known Issues" page). What the engine itself says is
in `engine`.
"""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.rule import RESUME, Rule
from contextcore_install.diagnosis.rules import _patterns

INOTIFY = "sudo sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"

RULES: tuple[Rule, ...] = (
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
        log=_patterns.CGROUP_V1_REFUSED,
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
        log=r"failed to lock config file.*file exists|\.lock: file exists",
    ),
    Rule(
        "kubeconfig-unwritable",
        "The file of kubectl's contexts cannot be written, or not be read.",
        "Correct it, and let this user write it and its folder; or use another file (KUBECONFIG).",
        "kubectl config view",
        log=r"failed to (lock config file|write kubeconfig|get kubeconfig to merge)",
    ),
    Rule(
        "snap-docker",
        "Docker from snap cannot read files outside of the home folder.",
        "Let temporary files be there.",
        'mkdir -p "$HOME/tmp" && TMPDIR="$HOME/tmp" ' + RESUME,
        log=r"failed to save image.*(invalid output path|permission denied)"
        r"|(open|stat) /(tmp|var/tmp)/\S+: (permission denied|no such file)",
    ),
    Rule(
        "kubeadm-failed",
        "Kubernetes did not start in its node.",
        "Look at what the kubelet said; memory, disk or cgroups are the usual causes.",
        "docker exec {control_plane} journalctl -u kubelet --no-pager -n 50",
        log=r"failed to (init|join) node with kubeadm",
    ),
)
