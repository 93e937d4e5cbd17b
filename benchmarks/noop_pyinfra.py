"""The six steps of an installation on this machine as pyinfra's operations: what is as it should be is left alone.

Variables: FOLDER holds what is made, and wanted.json; URL is that of the metrics store, which runs.
"""

from __future__ import annotations

import os

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server

FOLDER, URL = os.environ["FOLDER"], os.environ["URL"]


def unless(check: str, name: str, command: str) -> None:
    """Run a command unless a check's command prints something."""
    if not host.get_fact(Command, f"{check} || true"):
        server.shell(name=name, commands=[command])


unless(f"df -P {FOLDER} | awk 'NR == 2 && $4 > 100000'", "preflight", "false")
files.directory(name="cluster_create", path=f"{FOLDER}/data", mode="700")
files.put(name="manifests_apply", src=f"{FOLDER}/wanted.json", dest=f"{FOLDER}/command.json", mode="600")
unless(f"curl -fsS {URL}/health", "pods_ready", "false")
unless(f"curl -fsS '{URL}/api/v1/query?query=up'", "services_verify", "false")
unless(f"curl -fsS '{URL}/api/v1/query?query=1' | grep success", "metrics_seed", "false")
