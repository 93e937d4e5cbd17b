"""Asks the database of known flaws about all that lock files pin: `audit.py LOCK...`, as `make lint` does.

Ends with 1 for a known vulnerability and for nothing else. Where the database cannot be asked in time, or does not
know the packages (some mirrors have files and no advisories), that is said in one line: no change here heals it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

ANSWER_WITHIN_S = 5
"""What one question may take, in seconds."""

ALL_WITHIN_S = 45
"""What all of them may take together, in seconds."""


def main(locks: Sequence[str]) -> int:
    """Ask, tell in one line or one for each vulnerability, and return the exit code."""
    found = ask(locks)
    if isinstance(found, str):
        sys.stdout.write(f"pip-audit: not audited: {found}\n")
        return 0
    asked = {item["name"]: item for item in found}
    known = [item for item in asked.values() if "skip_reason" not in item]
    bad = [(item, flaw) for item in known for flaw in item["vulns"]]
    for item, flaw in bad:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{item['name']} {item['version']} has {flaw['id']}, mended in {fixed}\n")
    if not known:
        sys.stdout.write("pip-audit: not audited: the database knows none of the packages\n")
    elif not bad:
        sys.stdout.write(f"pip-audit: {len(known)} of {len(asked)} packages are known, and no flaw of them\n")
    return 1 if bad else 0


def ask(locks: Sequence[str]) -> list[dict[str, Any]] | str:
    """Return what is known of each pinned package, or why that cannot be told."""
    files = [word for lock in locks for word in ("--requirement", lock)]
    options = ["--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json"]
    argv = [sys.executable, "-S", "-m", "pip_audit", f"--timeout={ANSWER_WITHIN_S}", *options, *files]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=ALL_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        return f"the database did not answer within {ALL_WITHIN_S} s"
    try:
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
    return dependencies


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
