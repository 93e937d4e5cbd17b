"""What a cluster itself needs so that pods are reached: kube-proxy, which Services lead through, and its DNS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Probe, Requirement
from contextcore_install.core.requirements import Category
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.diagnose import problem_of
from contextcore_install.diagnosis.evidence import Evidence
from contextcore_install.diagnosis.reasons import DNS_DOWN, DNS_GONE, DNS_SCALED_DOWN, PROXY_DOWN, PROXY_GONE
from contextcore_install.diagnosis.rule import Subject
from contextcore_install.providers.kubernetes.client import Kubectl
from contextcore_install.providers.kubernetes.objects import Key, Manifest, key_of

NAMESPACE = "kube-system"
_PROXY = Key("DaemonSet", NAMESPACE, "kube-proxy")
_DNS, _DNS_SERVICE = Key("Deployment", NAMESPACE, "coredns"), Key("Endpoints", NAMESPACE, "kube-dns")


class ClusterSystem:
    """Looks at them in a cluster that kubeadm made, as in kind's nodes; `restore` is the command that runs it there."""

    def __init__(self, kubectl: Kubectl, require: Callable[[], None], restore: Callable[[], str]) -> None:
        self._kubectl = kubectl
        self._require = require
        self._restore = restore
        self._objects = TtlCache(self._ask)

    def requirements(self) -> Sequence[Requirement]:
        """Return what must hold of them. Nothing is looked at yet."""
        return [
            Requirement("kube_proxy", "Services lead to their pods", self._proxy, category=Category.INFRASTRUCTURE),
            Requirement("cluster_dns", "Names are found in the cluster", self._dns, category=Category.INFRASTRUCTURE),
        ]

    def _ask(self) -> Mapping[Key, Manifest]:
        self._require()
        found = self._kubectl.items("daemonsets,deployments,endpoints", "-n", NAMESPACE)
        return {key_of(item): item for item in found}

    def _proxy(self) -> Probe:
        try:
            proxy = self._objects.read().get(_PROXY)
        except InstallError as error:
            return Probe(f"not known: {error.message}", skipped=True)
        if proxy is None:
            return self._wrong(PROXY_GONE)
        status = proxy.get("status") or {}
        ready, wanted = (int(status.get(name, 0)) for name in ("numberReady", "desiredNumberScheduled"))
        if ready < wanted or not wanted:
            return self._wrong(PROXY_DOWN, ready=str(ready), wanted=str(wanted))
        return Probe(f"kube-proxy is ready on {ready} of {wanted} nodes")

    def _dns(self) -> Probe:
        try:
            objects = self._objects.read()
        except InstallError as error:
            return Probe(f"not known: {error.message}", skipped=True)
        subsets = objects.get(_DNS_SERVICE, {}).get("subsets") or []
        ready = sum(len(subset.get("addresses") or []) for subset in subsets)
        if ready:
            return Probe(f"{ready} pods answer for it")
        dns = objects.get(_DNS)
        if dns is None:
            return self._wrong(DNS_GONE)
        wanted = int((dns.get("spec") or {}).get("replicas", 1))
        return self._wrong(DNS_DOWN if wanted else DNS_SCALED_DOWN)

    def _wrong(self, reason: str, **facts: str) -> Probe:
        known = {"kubectl": self._kubectl.shown("-n", NAMESPACE), "kubeadm": self._restore(), **facts}
        problem = problem_of(Subject.SYSTEM, Evidence("system", reason=reason, facts=known))
        return Probe(findings=(problem,) if problem else ())
