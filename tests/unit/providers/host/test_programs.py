"""StackPrograms are known by what they print, and called by no version but their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.programs import StackPrograms
from contextcore_install.stack.catalogue import component

BUILT = "  build user:       \n  build date:       \n  go version:       go1.27.3\n  platform:         linux/amd64\n"
NO_BRANCH = "(branch: , revision: unknown)"


@pytest.mark.parametrize(
    ("name", "program", "said", "version"),
    [
        ("mimir", "mimir", f"Mimir, version 3.1.1 (branch: release-3.1, revision: 0a1b2c3)\n{BUILT}", "3.1.1"),
        ("mimir", "mimir", f"Mimir, version  {NO_BRANCH}\n{BUILT}", ""),
        ("mimir", "prometheus", f"prometheus, version 2.53.3+ds1 {NO_BRANCH}\n{BUILT}", "2.53.3"),
        ("mimir", "prometheus", f"prometheus, version 3.5.0-rc.1 {NO_BRANCH}\n{BUILT}", "3.5.0"),
        ("mimir", "victoria-metrics", "victoria-metrics-20250226-090028-tags-v1.112.0-0-g0a1b2c3", "1.112.0"),
        ("mimir", "victoria-metrics-prod", "victoria-metrics-20240730-151042-tags-v1.97.7-lts-0-g1", "1.97.7"),
        ("mimir", "victoria-metrics", "victoria-metrics-20250226-090028-heads-master-0-g0a1.2b2", ""),
        ("mimir", "victoria-metrics", "", ""),  # Debian's, both 1.79.5 and 1.112.0
        ("loki", "loki", f"loki, version 3.7.6 (branch: HEAD, revision: 0a1b2c3)\n{BUILT}", "3.7.6"),
        ("loki", "loki", f"loki, version  {NO_BRANCH}\n{BUILT}", ""),
        ("tempo", "tempo", f"tempo, version v3.0.3 (branch: HEAD, revision: 0a1b2c3)\n{BUILT}", "3.0.3"),
        ("tempo", "tempo", f"tempo, version  {NO_BRANCH}\n{BUILT}", ""),
        ("alloy", "alloy", f"alloy, version v1.18.0 (branch: HEAD, revision: 0a1b2c3)\n{BUILT}", "1.18.0"),
        ("alloy", "alloy", f"alloy, version v0.0.0 {NO_BRANCH}\n{BUILT}", "0.0.0"),
        ("grafana", "grafana", "grafana version 13.2.3\n", "13.2.3"),
        ("grafana", "grafana-server", "Version 11.1.0 (commit: 0a1b2c3, branch: HEAD)\n", "11.1.0"),
    ],
)  # fmt: skip
def test_a_version_is_read_where_the_program_prints_its_own(
    tmp_path: Path, name: str, program: str, said: str, version: str
) -> None:
    path = tmp_path / "bin" / program
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    path.chmod(0o755)
    config = ProviderConfig("c", tmp_path, tmp_path / "none", {"PATH": f"{path.parent}:/usr/bin:/bin"})
    found = StackPrograms(config, Layout("c", tmp_path / "host")).find(component(name))
    assert found is not None
    assert found.version == version
    assert found.label == (f"{program} {version} ({path})" if version else f"{program} ({path})")
