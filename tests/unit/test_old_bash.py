"""scripts/install-state.sh is for bash 3.2, macOS' own: it holds nothing that bash learned later.

shellcheck knows dialects and no versions of bash. Where there is a bash 3.2, test_scripts.py runs the script with it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "install-state.sh"

# Bash's own NEWS: what each version after 3.2 added to the language, with an example.
NEWER = {
    r"\b(declare|local|typeset|readonly)\s+-\w*[Agnlucp]*[Agnluc]": "local -n name=$1",
    r"\b(mapfile|readarray|coproc)\b": "mapfile -t lines",
    r"\$\{!?\w+(\[[^]]*\])?(\^|,)": "echo ${x,,}",
    r"\$\{\w+(\[[^]]*\])?@\w\}": "echo ${x@Q}",
    r"&>>": "command &>> log",
    r"\|&": "command |& tee log",
    r";;?&": "a) echo a ;;&",
    r"\$\{\w+\[-\d+\]\}": "echo ${list[-1]}",
    r"\$\{\w+(\[[@*]\])?:\s*-?\d+\s*:\s*-\d": "echo ${x:1:-1}",
    r"\bprintf\s+-v\s+[\"']?\w+\[": "printf -v list[0] x",
    r"\bprintf\b.*%\(": "printf '%(%s)T' -1",
    r"(\[\[|\[|test)\s(.*\s)?!?\s*-[vR]\s": "[[ -v name ]]",
    r"\bshopt\s.*\b(globstar|lastpipe|inherit_errexit|compat\w+|autocd|checkjobs|dirspell)\b": "shopt -s lastpipe",
    r"\bread\b.*\s-\w*[iN]": "read -N 1 key",
    r"\bread\b.*\s-t\s*[\"']?\d*\.\d": "read -t 0.5 key",
    r"\bwait\s+-\w*[nfp]": "wait -n",
    r"\bexec\s*\{\w+\}|(?<!\$)\{\w+\}[<>]": "exec {fd}<file",
    r"\{0\d*\.\.|\{-?\d+\.\.-?\d+\.\.": "echo {01..10}",
    r"\$\{?(BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASH_ARGV0|FUNCNEST|BASH_XTRACEFD)\b": "$BASHPID",
    r"\$'[^']*\\[uU][0-9a-fA-F]": "echo $'\\u2713'",
    r"\$\{\s|\$\{\|": "echo ${ command; }",
}


def newer_in(text: str) -> list[str]:
    """Return what a script holds that bash 3.2 does not know, comments aside."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]
    return [line for line in lines for pattern in NEWER if re.search(pattern, line)]


@pytest.mark.parametrize("example", NEWER.values())
def test_what_is_newer_is_noticed(example: str) -> None:
    assert newer_in(f"    {example}\n")


@pytest.mark.parametrize(
    "line",
    [
        "local step=$1 status=0",
        "declare -a list; local -r x=1; typeset -i n",
        'case $x in a) echo "${x:-none}" ;; *) ;; esac',
        'printf -v name "%s" "${list[0]}"',
        '[ -n "${CLUSTER_NAME:-}" ] && [ ! -e file ]',
        "read -r -t 5 line; wait $pid; exec 3<file 2>&1 # not {fd}<file",
        'echo "${x:1:2} ${x%,*} ${#list[@]} ${!name} ${x/a/b}"',
    ],
)
def test_what_bash_3_2_knows_is_left(line: str) -> None:
    assert newer_in(line) == []


def test_the_script_holds_nothing_that_is_newer_than_bash_3_2() -> None:
    assert newer_in(SCRIPT.read_text()) == []
