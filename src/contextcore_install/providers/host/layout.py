"""The cluster's folder on this machine, and whose it is."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contextcore_install.core.events import second
from contextcore_install.system.files import UNFINISHED, read_object, sweep, write_atomically, writing

OWNER = "contextcore-install"
MARKER_NAME = "owner.json"
DATA_MARK = "contextcore-data.json"  # in each data folder: an id, by which it is known to hold the same as before


class Layout:
    """Where everything of one cluster is. `root` is ours alone; beside it lie the state and the journal."""

    def __init__(self, cluster: str, root: Path) -> None:
        self.cluster = cluster
        self.root = root
        self.config = root / "config"  # rendered configurations, one folder a component
        self.data = root / "data"  # what the components store; survives everything but removing the cluster
        self.run = root / "run"  # records of processes
        self.logs = root / "logs"  # what the processes print
        self.secrets = self.data / "secrets"  # kept as long as the data that they open
        self.grafana_password = self.secrets / "grafana-admin"
        self.marker = root / MARKER_NAME  # says that this folder is ours
        self.store_choice = root / "metrics-store.json"  # which program the metrics store is, so that it stays that one
        self.chosen_ports = self.run / "ports.json"  # for when the state that has them is lost
        self.programs = root / "programs.json"  # what is known of the programs, so that they need not be asked again
        self.left_out = root / "left-out.json"  # the components whose programs could not be had, and why
        self.folders = (self.config, self.data, self.run, self.logs)  # what makes a whole cluster
        self._files = (self.store_choice, self.programs, self.left_out, self.marker)

    def foreign_reason(self) -> str:
        """Return why what is in the way is not ours; empty if nothing is, or if it is ours."""
        if self.root.is_symlink():
            return f"{self.root} is a link to {self.root.readlink()}."
        if not self.root.exists():
            return ""
        if not self.root.is_dir():
            return f"{self.root} is not a folder."
        owner = read_object(self.marker)
        if owner is None:
            # If a mark was damaged or lost, a folder that holds only what is ours is ours all the same.
            known = any(path.is_file() for path in self._files)
            ours = {path.name for path in (*self.folders, *self._files)} if known else set()
            others = {path.name for path in self.root.iterdir() if not path.match(f".*{UNFINISHED}")} - ours
            return f"{self.root} holds {', '.join(sorted(others)[:3])} and no mark of this program." if others else ""
        if owner.get("owner") != OWNER or owner.get("cluster") != self.cluster:
            return f"{self.marker} names {owner.get('owner')!r}, cluster {owner.get('cluster')!r}."
        if owner.get("uid") != os.getuid():
            return f"{self.root} belongs to user id {owner.get('uid')}, and this is {os.getuid()}."
        return ""

    def missing(self) -> list[str]:
        """Return the names of what a whole cluster has and this one lacks."""
        lacking = [folder.name for folder in self.folders if not folder.is_dir()]
        return lacking if read_object(self.marker) else [MARKER_NAME, *lacking]

    def make(self) -> None:
        """Make what is missing. Raises InstallError `folder-unwritable`."""
        with writing(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not read_object(self.marker):
                owner = {"owner": OWNER, "cluster": self.cluster, "uid": os.getuid(), "id": os.urandom(8).hex()}
                keep(self.marker, owner)
            for folder in (*self.folders, self.secrets):
                folder.mkdir(mode=0o700, exist_ok=True)

    def note_ports(self, ports: Mapping[str, int]) -> None:
        """Keep the ports that were chosen beside what runs on them. Raises InstallError `folder-unwritable`."""
        with writing(self.root):
            keep(self.chosen_ports, ports)

    def remove(self, *, keep_data: bool = False) -> None:
        """Remove only what is ours: all, or what was configured and ran. Raises InstallError `folder-unwritable`."""
        with writing(self.root):
            for folder in (self.config, self.run) if keep_data else self.folders:
                if folder.is_dir() and not folder.is_symlink():
                    shutil.rmtree(folder)
            if keep_data:
                return  # and what says whose it is, and which program wrote it
            sweep(self.root)
            for file in self._files:
                file.unlink(missing_ok=True)
            if self.root.is_dir() and not any(self.root.iterdir()):
                self.root.rmdir()


def mark_data(folder: Path) -> None:
    """Mark a component's data folder, unless it is marked. Raises OSError."""
    if not read_object(folder / DATA_MARK):
        keep(folder / DATA_MARK, {"id": os.urandom(8).hex(), "since": second(time.time_ns() // 1000)})


def keep(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, unless it is as it should be. Raises OSError."""
    if read_object(path) != document:
        write_atomically(path, json.dumps(dict(document)) + "\n")
