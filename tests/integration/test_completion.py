"""The scripts that shells are taught the command line with, in a real bash."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from installation import Installation

ASK = """\
source "$1"
complete -p "$(basename "$2")" >/dev/null || exit 1
COMP_WORDS=("$2" "${@:3}") COMP_CWORD=$(($# - 2))
_shtab_contextcore_install
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(script: Path, *words: str) -> set[str]:
    asked = subprocess.run(
        ["bash", "-c", ASK, "ask", str(script), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(asked.stdout.split())


@pytest.mark.parametrize("program", ["contextcore-install", "create-cluster.sh", "./create-cluster.sh"])
def test_bash_completes_the_command_and_the_launcher(
    installation: Installation, tmp_path: Path, program: str
) -> None:
    script = tmp_path / "completion"
    script.write_text(installation.run("completion", "bash").stdout)
    assert completed(script, program, "--re") == {"--resume", "--repair", "--reset", "--registry"}
    assert completed(script, program, "logs", "pod") == {"pods_ready"}
    assert "--install-tools" not in completed(script, program, "restore", "--")


def test_zsh_is_told_of_both(installation: Installation) -> None:
    script = installation.run("completion", "zsh").stdout
    assert script.startswith("#compdef contextcore-install create-cluster.sh\n")
    assert "compdef _shtab_contextcore_install -N contextcore-install create-cluster.sh\n" in script
