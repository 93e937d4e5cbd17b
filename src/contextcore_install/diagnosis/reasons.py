"""Words that callers of `diagnose` share with the rules: reasons, rules by their ids, and values of facts."""

from __future__ import annotations

# Kubernetes' reasons of pods
IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
CRASH = frozenset({"CrashLoopBackOff"})
START = frozenset({"CreateContainerError", "RunContainerError"})
BACKING_OFF = IMAGE | CRASH | START | {"CreateContainerConfigError"}
"""What the kubelet tries again, later and later: deleting the pod skips that wait."""
OUT_OF_MEMORY, UNSCHEDULABLE = "OOMKilled", "Unschedulable"

# Reasons of ours, for what Kubernetes has none
NEVER_READY = "NeverReady"  # a pod has started, and does not become ready
MISSING, SCALED_DOWN = "Missing", "ScaledDown"  # workloads
PROXY_GONE, PROXY_DOWN = "ProxyGone", "ProxyDown"  # what a cluster itself needs
DNS_GONE, DNS_SCALED_DOWN, DNS_DOWN = "DnsGone", "DnsScaledDown", "DnsDown"
NO_CONTEXT, UNREACHED, NO_NOTE, CORDONED, NODES_LOST = "NoContext", "Unreached", "NoNote", "Cordoned", "NodesLost"
PORTS_FIXED, LOST, FOREIGN, NOT_OURS = "PortsFixed", "Lost", "Foreign", "NotOurs"
WORKERS_FIXED, NODE_IMAGE_FIXED = "workers", "node-image"  # the options' names
DETACHED, API_SILENT, UNREADY = "Detached", "ApiSilent", "Unready"  # a cluster of kind
NOT_INSTALLED, PROGRAM_GONE, NOT_RUNNING = "not installed", "its program is gone", "not running"  # a process
SUSPENDED = "process-suspended"  # its process was stopped by a signal; the finding's code, too

# Rules
CLAIM_BEFORE_CLASS = "claim-before-class"
POD_NEVER_READY = "never-ready"  # the code of all rules with NEVER_READY
WITHOUT_CAUSE = frozenset({"pod-postponed", "pod-refused"})
BY_CONTROLLER = frozenset({"controller-forbidden"})
"""Rules about what only the controller is refused: nobody else can find out by trying."""
HANGS = "does not answer"
"""The condition of what accepts connections and gives no answer: waiting may heal it, or a restart."""

# Values of `Endpoint.via`: a port of this machine that a cluster's node publishes; a connection that kubectl opened
NODE_PORT, PORT_FORWARD = "node port", "port-forward"
