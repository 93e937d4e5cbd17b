"""What a cluster itself lacks so that pods are reached. The reasons are our words: Kubernetes has none."""

from __future__ import annotations

from dataclasses import replace

from contextcore_install.core.findings import Risk
from contextcore_install.diagnosis.rule import Rule

PROXY_GONE, PROXY_DOWN = "ProxyGone", "ProxyDown"
DNS_GONE, DNS_SCALED_DOWN, DNS_DOWN = "DnsGone", "DnsScaledDown", "DnsDown"

_ADDON = "{kubeadm} init phase addon "
_CONFIG = " --config /kind/kubeadm.conf"
_PROXY = Rule(
    "kube-proxy-gone",
    "kube-proxy is not in the cluster: its Services lead nowhere, or to where pods were before.",
    "Have kubeadm put it back.",
    _ADDON + "kube-proxy" + _CONFIG,
    reasons=frozenset({PROXY_GONE}),
    code="kube-proxy-down",
)
_DNS = Rule(
    "cluster-dns-gone",
    "The cluster's DNS (coredns) is not there: no pod finds another by its name.",
    "Have kubeadm put it back.",
    _ADDON + "coredns" + _CONFIG,
    reasons=frozenset({DNS_GONE}),
    code="cluster-dns-down",
)

RULES: tuple[Rule, ...] = (
    _PROXY,
    replace(
        _PROXY,
        id="kube-proxy-down",
        sentence="kube-proxy is ready on {ready} of {wanted} nodes: elsewhere Services lead to where pods were before.",
        remedy="See how its pods are, and start them anew.",
        command="{kubectl} rollout restart daemonset/kube-proxy",
        reasons=frozenset({PROXY_DOWN}),
        risk=Risk.RESTARTS,
    ),
    _DNS,
    replace(
        _DNS,
        id="cluster-dns-scaled-down",
        sentence="The cluster's DNS (coredns) is scaled to 0: no pod finds another by its name.",
        remedy="Scale it up.",
        command="{kubectl} scale deployment coredns --replicas=2",
        reasons=frozenset({DNS_SCALED_DOWN}),
    ),
    replace(
        _DNS,
        id="cluster-dns-down",
        sentence="No pod of the cluster's DNS (coredns) is ready: no pod finds another by its name.",
        remedy="See how its pods are, and start them anew.",
        command="{kubectl} rollout restart deployment/coredns",
        reasons=frozenset({DNS_DOWN}),
        risk=Risk.RESTARTS,
    ),
)
