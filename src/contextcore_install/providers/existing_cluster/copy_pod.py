"""Access to the files of a claim in somebody's cluster: through a pod of ours for the length of a copy.

It runs an image that the stack has on the node anyway, so that nothing is pulled, as the user whose files they are.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.ports import StepContext
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.data import Claim, ClaimPlace, Reach
from contextcore_install.providers.kubernetes.objects import MANAGED_BY, RELEASE_LABEL, Release
from contextcore_install.stack.catalogue import component

READY_S, LIVES_S = 120, 3700  # for the pod to run; and how long it may live should we not end it
IMAGE_OF = "grafana"  # of the stack's images this one has a shell and tar; most hold a single program
FOLDER = "/volume"


def through_pod(kubectl: Kubectl, release: Callable[[], Release], cluster: str) -> Reach:
    """Return the access through a pod that has the claim mounted."""

    @contextmanager
    def reach(claim: Claim, ctx: StepContext) -> Iterator[ClaimPlace]:
        wanted = component(IMAGE_OF).image
        # As the release has it: it may come from a mirror.
        image = next((image for image in release().images if image.endswith(wanted)), wanted)
        manifest = copy_pod(claim, image, cluster)
        name, scope = manifest["metadata"]["name"], ("-n", claim.key.namespace)
        ctx.activity(f"starting a pod that has {claim.key.name}")
        try:
            kubectl.call("create", "-f", "-", "-o", "name", stdin=json.dumps(manifest), ctx=ctx)
            ready = ("wait", "--for=condition=Ready", f"pod/{name}", *scope, f"--timeout={READY_S}s")
            kubectl.call(*ready, ctx=ctx, timeout_s=READY_S + 10)
            yield ClaimPlace(tuple(kubectl.argv("exec", "-i", *scope, name, "--", timeout="0")), FOLDER)
        finally:
            with suppress(InstallError):
                # It has nothing to finish, and nobody waits for it to be gone.
                now = ("--ignore-not-found", "--grace-period=1", "--wait=false")
                kubectl.call("delete", "pod", name, *scope, *now)

    return reach


def copy_pod(claim: Claim, image: str, cluster: str) -> dict[str, Any]:
    """Return the pod: as the workload's user, on whatever node the volume can be had."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"copy-{claim.key.name}"[:50] + f"-{secrets.token_hex(3)}",
            "namespace": claim.key.namespace,
            # With our label: one that is left behind is pruned.
            "labels": {RELEASE_LABEL: cluster, **MANAGED_BY},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIVES_S,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": claim.workload["spec"]["template"]["spec"].get("securityContext") or {},
            "containers": [
                {
                    "name": "copy",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", f"sleep {LIVES_S}"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "volume", "mountPath": FOLDER}],
                }
            ],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim.key.name}}],
        },
    }
