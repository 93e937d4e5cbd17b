"""Why a claim gets no volume: the last event about it.

From Kubernetes' pkg/controller/volume/persistentvolume and the external provisioners.
"""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR
from contextcore_install.diagnosis.rule import Rule

MADE_TOO_EARLY = "claim-before-class"
_TROUBLE = frozenset({"ProvisioningFailed", "FailedBinding", "VolumeMismatch", "ClaimLost"})
_CLASSES = "{kubectl} get storageclass"

RULES: tuple[Rule, ...] = (
    Rule(
        "claim-waits",
        "The volume of {workload} is only made once its pod has a node, or is being made: that is normal.",
        reasons=frozenset({"WaitForFirstConsumer", "WaitForPodScheduled", "ExternalProvisioning", "Provisioning"}),
        passing="waits for its volume",
    ),
    Rule(
        MADE_TOO_EARLY,
        "{workload} gets no volume: its claim {claim} is older than the storage class {default}.",
        "Make the claim anew: it holds nothing.",
        REPAIR,
        reasons=_TROUBLE,
        message=r"no storage class is set|storageclass\S* \"[^\"]+\" not found",
        where={"default": "."},
        code="volume-pending",
        risk=Risk.RESTARTS,
        automatic=True,
        lasts_s=2.0,
    ),
    Rule(
        "no-storage-class",
        "{workload} gets no volume: its claim {claim} names no storage class, and the cluster has no default one.",
        "Have the cluster's administrator make one of the storage classes the default.",
        _CLASSES,
        reasons=_TROUBLE,
        message=r"no storage class is set",
        code="volume-pending",
        lasts_s=20.0,
    ),
    Rule(
        "storage-class-missing",
        "{workload} gets no volume: the cluster has no storage class {name}.",
        "Name one that it has in the manifests.",
        _CLASSES,
        reasons=_TROUBLE,
        message=r"storageclass\S* \"(?P<name>[^\"]+)\" not found",
        code="volume-pending",
        lasts_s=20.0,
    ),
    Rule(
        "volume-lost",
        "{workload} has lost its volume: the one that its claim {claim} is bound to is gone, with what was on it.",
        "Bring the volume back from the storage; or delete the claim, and have it made anew without data.",
        "{kubectl} describe pvc {claim}",
        reasons=frozenset({"ClaimLost"}),
        code="volume-pending",
        lasts_s=20.0,
    ),
    Rule(
        "volume-pending",
        "{workload} gets no volume: {message}",
        "See the cluster's storage classes; one must be the default.",
        _CLASSES,
        reasons=_TROUBLE,
        lasts_s=20.0,
    ),
)
