"""The stack in a Kubernetes cluster that exists: reached through one of kubectl's contexts, never made or removed."""
