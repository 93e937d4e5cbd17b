"""The stack in a cluster of kind: Kubernetes in containers on this machine."""
