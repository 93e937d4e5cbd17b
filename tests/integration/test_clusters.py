"""Every installation in a home is listed, with what is known of it."""

from __future__ import annotations

import json
import shutil
from typing import Any

from contextcore_install.core.dataclass import replace
from kit.installation import Installation


def listed(installation: Installation, *flags: str) -> dict[str, dict[str, Any]]:
    told = installation.run("clusters", "--output", "json", *flags)
    assert told.returncode == 0, told.stderr
    return {row["cluster"]: row for row in json.loads(told.stdout)["clusters"]}


def test_each_installation_has_a_row(installation: Installation) -> None:
    assert listed(installation) == {}
    assert "No clusters yet." in installation.run("clusters").stdout
    assert installation.install().returncode == 0
    other = replace(installation, cluster="other")
    shutil.copytree(installation.files, other.files, ignore=shutil.ignore_patterns("host", "lock", "journal*"))
    named = json.loads(other.state.read_text()) | {"cluster_name": "other"}
    other.state.write_text(json.dumps(named))
    foreign = replace(installation, cluster="foreign")
    shutil.copytree(installation.files, foreign.files, ignore=shutil.ignore_patterns("host", "lock"))
    torn = replace(installation, cluster="torn")
    torn.files.mkdir(mode=0o700)
    torn.state.write_text('{"version": "1.0", "steps":')
    (installation.home / "clusters" / "Not a name").mkdir()

    rows = listed(installation, "--live")
    assert set(rows) == {"foreign", "other", "test", "torn"}
    assert rows["foreign"]["overall"] == "unreadable"
    assert "of another installation, 'test'" in rows["foreign"]["problem"]
    assert rows["test"]["overall"] == "complete"
    assert rows["test"]["last_used"]
    assert rows["test"]["found"]["state"] == "healthy"
    assert not rows["other"]["last_used"]
    assert rows["other"]["found"]["state"] != "healthy"
    assert rows["torn"]["overall"] == "unreadable"
    assert rows["torn"]["problem"]

    installation.remove()
    assert listed(installation, "--live")["test"]["found"]["state"] == "degraded"

    shown = installation.run("clusters").stdout
    assert "test" in shown
    assert "complete" in shown
    assert "install succeeded" in shown


def test_a_cluster_is_never_taken_from_a_link(installation: Installation) -> None:
    assert installation.run("--status").returncode == 0
    clusters = installation.home / "clusters"
    clusters.mkdir(parents=True, mode=0o700)
    (clusters / "root").symlink_to("/")
    assert listed(installation) == {}
