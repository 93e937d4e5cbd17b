"""What this machine, or the container engine on it, has too little of, or in the way of an installation.

The limits of inotify are those of kind's "Known Issues". The others were measured: what the stack asks for, and a node.
Memory and disk are in MiB.
"""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.hints import RESUME, own
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules.kind import DELEGATE, INOTIFY

ENGINE_MEMORY_NEEDED, ENGINE_MEMORY_WANTED = 1900, 3800
"""Without which the stack does not start in a node, and with which it runs well."""
ENGINE_DISK_NEEDED, ENGINE_DISK_WANTED = 2048, 8192
"""Node image, the stack's images in engine and node, and a week of data."""
DISK_NEEDED, DISK_WANTED = 200, 2048
"""Free space below which a store refuses samples before long; and below which a week of use may end it."""
WATCHES, INSTANCES = 524_288, 512

_MEMORY = Rule(
    "engine-memory-short",
    "The engine has {engine_memory} MiB of memory; the stack wants " + f"{ENGINE_MEMORY_WANTED}.",
    "Give the engine more ({more}).",
    below={"engine_memory": ENGINE_MEMORY_NEEDED},
    code="memory-low",
)
_ENGINE_DISK = Rule(
    "engine-disk-short",
    "The container engine's disk is almost full: {engine_disk} of " + f"{ENGINE_DISK_WANTED} MiB are free.",
    "Free some space.",
    "{engine} system df; df -h {place}",
    below={"engine_disk": ENGINE_DISK_NEEDED},
    code="disk-low",
)
_INOTIFY = Rule(
    "inotify-watches",
    "The limits of inotify are low; nodes and pods may fail with `too many open files`.",
    "Raise them.",
    INOTIFY,
    below={"max_user_watches": WATCHES},
    code="inotify-limit",
    warning=True,
)
_CGROUP = Rule(
    "cgroup-v1-refused",
    "This engine has cgroup v1, which the node image refuses.",
    "Boot with cgroup v2 (kernel option systemd.unified_cgroup_hierarchy=1), or use an older node image.",
    own("--node-image", "kindest/node:v1.32.5"),
    where={"cgroup": "^1$", "node_image": "^refuses$"},
    code="cgroup-v1",
)
_ELSEWHERE = "the stack would not be on this machine's 127.0.0.1."
_REMOTE = Rule(
    "engine-remote",
    "{chosen_by} leads to a container engine on {remote_host}: " + _ELSEWHERE,
    "Use an engine of this machine, or run this program on that one.",
    "{local}",
    where={"remote_host": "."},
    code="engine-remote",
)

RULES: tuple[Rule, ...] = (
    _REMOTE,
    replace(
        _REMOTE,
        id="engine-elsewhere",
        sentence="The container engine at {endpoint} has another network than this program: " + _ELSEWHERE,
        remedy="Use an engine of this network, or run this program in that one.",
        where={"engine_network": "^another$"},
    ),
    replace(
        _REMOTE,
        id="engine-unpublished",
        sentence="The container engine at {endpoint} publishes its ports on another machine or in another network: "
        + _ELSEWHERE,
        remedy="Remove what was made there, and use an engine of this machine.",
        command=own("delete", "--cluster", "{cluster}"),
        where={"published": "^nowhere$"},
    ),
    Rule(
        "engine-clock",
        "The container engine's clock is {clock_off} s {clock} this machine's: certificates may not count as valid.",
        "Start the engine anew: its virtual machine takes the time from this machine then.",
        "{restart}",
        where={"clock": "^(behind|ahead of)$"},
        warning=True,
    ),
    Rule(
        "rootless-cgroup-v1",
        "A rootless engine needs cgroup v2 for the nodes, and this machine has cgroup v1.",
        "Boot with cgroup v2 (kernel option systemd.unified_cgroup_hierarchy=1), or use one that is not rootless.",
        where={"rootless": "^yes$", "cgroup": "^1$"},
        code="cgroup-v1",
    ),
    Rule(
        "cgroup-scope",
        "{engine} may not use the cgroup controllers {lacks} in this session, which the nodes need.",
        "Start this program in a scope of its own, to which systemd delegates them.",
        f'systemd-run --scope --user -p "Delegate=yes" {RESUME}',
        where={"lacks": ".", "delegated": "^yes$"},
        code="cgroup-delegation",
    ),
    Rule(
        "cgroup-delegation",
        "{engine} is rootless and may not use the cgroup controllers {lacks}, which the nodes need.",
        "Have systemd delegate them to users, then log in anew.",
        DELEGATE,
        where={"lacks": "."},
    ),
    Rule(
        "addresses-taken",
        "Routes of {interface} take every address range that the engine has for a network: it may not be able to make"
        " one.",
        "If the cluster cannot be made, disconnect the VPN meanwhile, or give the engine other ranges"
        " (default-address-pools in its daemon.json).",
        "ip route",
        where={"interface": "."},
        warning=True,
    ),
    Rule(
        "port-privileged",
        "The rootless engine may not use port {port}, which {who_needs} needs: those below {privileged_below} are the"
        " system's.",
        "Choose another port for {purpose}, or allow ports from {port} on to everyone.",
        "sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}",
        where={"rootless": "^yes$"},
        below={"port": "privileged_below"},
    ),
    _MEMORY,
    replace(_MEMORY, id="engine-memory-low", below={"engine_memory": ENGINE_MEMORY_WANTED}, warning=True),
    Rule(
        "cpus-few",
        "The engine has {engine_cpus} processor; 2 are wanted.",
        "Give the engine more ({more}).",
        below={"engine_cpus": 2},
        warning=True,
    ),
    _ENGINE_DISK,
    # Where the nodes are made, the images are there already.
    replace(
        _ENGINE_DISK,
        id="engine-disk-low",
        below={"engine_disk": ENGINE_DISK_WANTED},
        where={"nodes": "^none$"},
        warning=True,
    ),
    _CGROUP,
    replace(
        _CGROUP,
        id="cgroup-v1",
        sentence="This engine has cgroup v1, which newer node images refuse.",
        where={"cgroup": "^1$"},
        warning=True,
    ),
    _INOTIFY,
    replace(_INOTIFY, id="inotify-instances", below={"max_user_instances": INSTANCES}),
    Rule(
        "snap-docker",
        "Docker from snap reads temporary files only within the home folder.",
        "Let them be there.",
        'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"',
        where={"engine_path": r"^/snap/|^/var/lib/snapd/", "temporary_files": "^elsewhere$"},
        warning=True,
    ),
    Rule(
        "proxy",
        "{proxies} is set, and NO_PROXY does not name 127.0.0.1: other programs may not reach the stack.",
        "Leave out what is on this machine.",
        'export NO_PROXY="127.0.0.1,localhost,${{NO_PROXY:-}}"',
        where={"proxies": ".", "no_proxy": r"^(?!.*\*)(?!(?:.*,)?127\.0\.0\.1(?:,|$))"},
        warning=True,
    ),
    Rule(
        "port-of-cluster-in-use",
        "Port {port}, which {who_needs} needs, is held by {holder}.",
        "End it: the cluster keeps the ports that it was made with.",
        "{end_holder}",
        where={"bind": "^EADDRINUSE$", "ports": "^fixed$"},
        code="port-in-use",
    ),
    Rule(
        "port-of-cluster-unusable",
        "Port {port} cannot be used: {why}.",
        "Let this user have it: the cluster keeps the ports that it was made with.",
        where={"bind": ".", "ports": "^fixed$"},
        code="port-unusable",
    ),
    Rule(
        "port-in-use",
        "Port {port}, which {who_needs} needs, is held by {holder}.",
        "End it, or choose another port for {purpose}.",
        own("--port", "{port_key}={free_port}"),
        where={"bind": "^EADDRINUSE$"},
    ),
    Rule(
        "port-unusable",
        "Port {port} cannot be used: {why}.",
        "Choose another port for {purpose}.",
        own("--port", "{port_key}={free_port}"),
        where={"bind": "."},
    ),
    Rule(
        "memory-low",
        "Memory is short: {memory} MiB are available, and the stack wants about {wanted}.",
        "End programs that are not needed.",
        "top",
        below={"memory": "wanted"},
        warning=True,
    ),
    Rule(
        "disk-full",
        "The disk of {place} is almost full: {disk} of " + f"{DISK_NEEDED} MiB are free.",
        "Free some space on the disk of {place}.",
        "df -h {place}",
        below={"disk": DISK_NEEDED},
    ),
    Rule(
        "disk-low",
        "Only {disk} MiB are free on the disk of {place}.",
        "Free some space on the disk of {place}.",
        "df -h {place}",
        below={"disk": DISK_WANTED},
        warning=True,
    ),
)
