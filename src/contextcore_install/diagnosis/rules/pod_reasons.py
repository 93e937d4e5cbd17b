"""Kubernetes' words for what keeps a pod, and what the rules about pods share."""

from __future__ import annotations

IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
CONFIG = frozenset({"CreateContainerConfigError"})
CRASH = frozenset({"CrashLoopBackOff"})
START = frozenset({"CreateContainerError", "RunContainerError"})
STUCK = IMAGE | CONFIG | CRASH | START
"""What Kubernetes tries again, later and later: deleting the pod skips that wait."""

MOUNT = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
OUT_OF_MEMORY, UNSCHEDULABLE, NEVER_READY = "OOMKilled", "Unschedulable", "NeverReady"
"""`NeverReady` is our word for a pod that has started and does not get ready."""

DESCRIBE = "{kubectl} describe pod {pod}"
LOG = "{kubectl} logs {pod} --previous"
