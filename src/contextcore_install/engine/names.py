"""The names that the command line shares with the state: the steps, and what they can be."""

STEP_IDS = ("preflight", "cluster_create", "manifests_apply", "pods_ready", "services_verify", "metrics_seed")
STATUSES = ("pending", "in_progress", "completed", "failed")
