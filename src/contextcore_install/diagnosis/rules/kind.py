"""Why `kind` failed.

From messages of kind, Docker and Podman (their sources, and kind's "Known Issues" page). What the engine itself says is
in `engine`.
"""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import RESUME
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns

INOTIFY = "sudo sysctl -w fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"

DELEGATE = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d"
    r" && printf '[Service]\nDelegate=yes\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf"
    " && sudo systemctl daemon-reload"
)
"""kind's documentation on rootless engines; it counts from the next login on."""
_PULL = r"failed to pull image[\s\S]*"

RULES: tuple[Rule, ...] = (
    Rule(
        "cgroup-delegation",
        "The rootless engine may not limit what its containers take, which the nodes need.",
        "Have systemd delegate the controllers of cgroups to users, then log in anew.",
        DELEGATE,
        log=r'requires setting systemd property "Delegate=yes"',
    ),
    Rule(
        "rootless-cgroup-v1",
        "A rootless engine needs cgroup v2 for the nodes, and this machine has cgroup v1.",
        "Boot with cgroup v2 (kernel option systemd.unified_cgroup_hierarchy=1), or use one that is not rootless.",
        log=r"rootless provider requires cgroup v2",
        code="cgroup-v1",
    ),
    Rule(
        "port-privileged",
        "The rootless engine may not use port {low}.",
        "Allow ports from there on to everyone, or choose a higher one with --port.",
        "sudo sysctl -w net.ipv4.ip_unprivileged_port_start={low}",
        log=r"(cannot expose privileged port|failed to bind port) (?P<low>\d+)"
        r"(?=.*(ip_unprivileged_port_start|permission denied))",
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
        "Remove networks that nothing uses; a VPN that has taken all ranges must be off while the cluster is made, or"
        " the engine is given others (default-address-pools in its daemon.json).",
        "{engine} network prune",
        log=r"non-overlapping ipv4 address pool|fully subnetted|could not find an available.*address pool"
        r"|pool overlaps with other one|could not find free subnet",
    ),
    Rule(
        "image-clock",
        "The node image {node_image} cannot be pulled: the clock of the container engine is behind, at {now}.",
        "Start the engine anew: its virtual machine has slept, and takes the time from this machine then.",
        "{restart}",
        log=_PULL + _patterns.CLOCK_BEHIND,
        code="image-unavailable",
    ),
    Rule(
        "image-untrusted",
        "The node image {node_image} cannot be pulled: the engine does not trust the certificate that it is shown.",
        "Have the engine trust the authority of the proxy that looks into TLS, here in the file ca.crt.",
        "{trust}",
        log=_PULL + f"({_patterns.UNTRUSTED})",
        code="image-unavailable",
    ),
    Rule(
        "image-unavailable",
        "The node image {node_image} cannot be pulled.",
        "Get it on another network, or choose one that is here.",
        "{engine} pull {node_image}",
        log=r"failed to pull image|pull access denied|toomanyrequests|manifest unknown|manifest for \S+ not found",
    ),
    Rule(
        "disk-full",
        "There is no space left on the container engine's disk.",
        "Free some space.",
        "{engine} system df; {engine} image prune",
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
        "{engine} exec {control_plane} journalctl -u kubelet --no-pager -n 50",
        log=r"failed to (init|join) node with kubeadm",
    ),
)
