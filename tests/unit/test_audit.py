"""What the audit of pinned packages says, and that only a known vulnerability fails it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "audit.py"
SOUND = {"name": "sound", "version": "1.0", "vulns": []}
FLAWED = {"name": "flawed", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


def audit(folder: Path, answer: str) -> subprocess.CompletedProcess[str]:
    """Run the audit with an auditor that does as it is told."""
    (folder / "pip_audit.py").write_text(answer)
    path = os.pathsep.join([str(folder), *sys.path])
    argv = [sys.executable, "-S", str(SCRIPT), "requirements.lock"]
    return subprocess.run(argv, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def says(*dependencies: dict[str, Any]) -> str:
    return f"print({json.dumps({'dependencies': dependencies})!r})"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (says(SOUND, UNKNOWN), 0, "pip-audit: 1 of 2 packages are known, and no flaw of them\n"),
        (says(SOUND, FLAWED) + "; raise SystemExit(1)", 1, "flawed 2.0 has PYSEC-1, mended in 2.1\n"),
        (says(UNKNOWN), 0, "pip-audit: not audited: the database knows none of the packages\n"),
        ("raise OSError('no such host')", 0, "pip-audit: not audited: OSError: no such host\n"),
        ("print('<html>')", 0, "pip-audit: not audited: it said nothing\n"),
    ],
)
def test_only_a_known_vulnerability_fails(tmp_path: Path, answer: str, code: int, said: str) -> None:
    done = audit(tmp_path, answer)
    assert (done.returncode, done.stdout) == (code, said), done.stderr
