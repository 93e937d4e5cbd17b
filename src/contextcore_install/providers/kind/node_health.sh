#!/bin/sh
# Prints what is sick in a node of kind. The kubelet's port is its default, which kubeadm keeps.
for unit in containerd kubelet; do
    state=$(systemctl is-active "$unit")
    [ "$state" = active ] || echo "$unit is $state"
done
if command -v ctr >/dev/null && ! timeout 10 ctr version >/dev/null 2>&1; then echo "containerd does not answer"; fi
if command -v curl >/dev/null && ! timeout 10 curl -fsS -o /dev/null http://localhost:10248/healthz 2>/dev/null; then
    echo "the kubelet does not call itself healthy"
fi
true
