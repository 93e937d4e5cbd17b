"""The scripts that shells are taught the command line with, in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.installation import Installation

PROGRAMS = ["contextcore-install", "create-cluster.sh", "./create-cluster.sh"]
LIMIT_S = 60.0
ASK_BASH = """\
source "$1"
complete -p "$(basename "$2")" >/dev/null || exit 1
COMP_WORDS=("$2" "${@:3}") COMP_CWORD=$(($# - 2))
_contextcore_install
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script_of(installation: Installation, shell: str, folder: Path) -> Path:
    """Write the script for a shell that is here, and two clusters for it to find; skips where the shell is not here."""
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} on this machine")
    for name in ("demo", "other"):
        (installation.home / "clusters" / name).mkdir(parents=True)
    script = folder / f"completion.{shell}"
    written = installation.run("completion", shell)
    assert written.returncode == 0, written.stderr
    script.write_text(written.stdout)
    return script


def asked(words: list[str], environ: Mapping[str, str]) -> set[str]:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=LIMIT_S, check=True, env={**os.environ, **environ}
    )
    assert done.stderr == ""
    return {line.partition("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_bash_completes_commands_flags_and_values(installation: Installation, tmp_path: Path, program: str) -> None:
    script = script_of(installation, "bash", tmp_path)

    def completed(*words: str) -> set[str]:
        home = {"CONTEXTCORE_HOME": str(installation.home)}
        return asked(["bash", "-c", ASK_BASH, "ask", str(script), program, *words], home)

    assert completed("--re") == {"--resume", "--repair", "--reset", "--registry"}
    assert completed("logs", "pod") == {"pods_ready"}
    assert "--install-tools" not in completed("restore", "--")
    assert completed("--cluster", "") == {"demo", "other"}
    assert completed("verify", "--cluster", "de") == {"demo"}
    assert completed("--port", "gra") == {"grafana="}
    assert completed("--components", "a") == {"all", "alloy"}
    assert completed("--components", "loki,te") == {"loki,tempo"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_fish_completes_commands_flags_and_values(installation: Installation, tmp_path: Path, program: str) -> None:
    script = script_of(installation, "fish", tmp_path)

    def completed(line: str) -> set[str]:
        home = {"CONTEXTCORE_HOME": str(installation.home), "HOME": str(tmp_path)}
        command = f"source {script}; complete -C '{program} {line}'"
        return asked(["fish", "--no-config", "-c", command], home)

    assert completed("--re") == {"--resume", "--repair", "--reset", "--registry"}
    assert completed("logs pod") == {"pods_ready"}
    assert "--install-tools" not in completed("restore --")
    assert completed("--cluster ") == {"demo", "other"}
    assert completed("verify --cluster de") == {"demo"}
    assert completed("--port gra") == {"grafana="}
    assert completed("--components a") == {"all", "alloy"}
    assert completed("--components loki,te") == {"loki,tempo"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_zsh_completes_commands_flags_and_values(installation: Installation, tmp_path: Path, program: str) -> None:
    script = script_of(installation, "zsh", tmp_path)
    zsh = Zsh(installation, tmp_path, script)
    try:
        assert zsh.completed(f"{program} --cluster de") == f"{program} --cluster demo "
        assert zsh.completed(f"{program} --port gra") == f"{program} --port grafana="
        assert zsh.completed(f"{program} --components loki,te") == f"{program} --components loki,tempo "
        assert zsh.completed(f"{program} verify --cluster o") == f"{program} verify --cluster other "
        assert zsh.completed(f"{program} logs pod") == f"{program} logs pods_ready "
        assert zsh.completed(f"{program} --resu") == f"{program} --resume "
    finally:
        zsh.close()


def test_zsh_is_told_of_both(installation: Installation) -> None:
    script = installation.run("completion", "zsh").stdout
    assert script.startswith("#compdef contextcore-install create-cluster.sh\n")
    assert "compdef _shtab_contextcore_install -N contextcore-install create-cluster.sh\n" in script


def test_tcsh_reads_its_script(installation: Installation, tmp_path: Path) -> None:
    script = script_of(installation, "tcsh", tmp_path)
    done = subprocess.run(
        ["tcsh", "-f", "-c", f"source {script} && complete contextcore-install"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "grafana=" in done.stdout


class Zsh:
    """A zsh on a terminal of its own, which has read the script."""

    def __init__(self, installation: Installation, folder: Path, script: Path) -> None:
        self._line = folder / "line"
        (folder / "functions").mkdir()
        shutil.copy(script, folder / "functions" / "_contextcore-install")
        startup = folder / ".zshrc"
        startup.write_text(
            f"fpath=({folder}/functions $fpath)\nautoload -Uz compinit && compinit -u -D\n"
            f'tell() {{ print -rn -- "$BUFFER" > {self._line}; zle kill-whole-line }}\n'
            "zle -N tell\nbindkey '^X^T' tell\nPS1='ready> '\n"
        )
        process, self._terminal = pty.fork()
        if process == 0:
            environ = {
                **os.environ,
                "ZDOTDIR": str(folder),
                "CONTEXTCORE_HOME": str(installation.home),
                "TERM": "vt100",
            }
            os.execvpe("zsh", ["zsh", "-i"], environ)
        self._process = process
        self._read_until(b"ready> ")

    def completed(self, line: str) -> str:
        """Return what a line becomes by a press of Tab."""
        self._line.unlink(missing_ok=True)
        os.write(self._terminal, line.encode() + b"\t\x18\x14")
        end = time.monotonic() + LIMIT_S
        while not self._line.exists() or not self._line.read_text():
            assert time.monotonic() < end
            self._read_until(b"", 0.05)
        return self._line.read_text()

    def close(self) -> None:
        os.close(self._terminal)
        os.waitpid(self._process, 0)

    def _read_until(self, text: bytes, limit_s: float = LIMIT_S) -> None:
        end, said = time.monotonic() + limit_s, b""
        while time.monotonic() < end and not (text and text in said):
            if select.select([self._terminal], [], [], 0.05)[0]:
                said += os.read(self._terminal, 4096)
        assert text in said
