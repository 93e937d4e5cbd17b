"""Why a component's process has ended.

From messages of the Go runtime, of the kernel (strerror(3)) and of the components' own storage.
"""

from __future__ import annotations

from contextcore_install.core.findings import Risk
from contextcore_install.core.hints import REPAIR, RESUME
from contextcore_install.diagnosis.rule import Rule
from contextcore_install.diagnosis.rules import _patterns

_DAMAGED = (
    r"corrupt(ed|ion)?\b|checksum mismatch|unexpected EOF|invalid magic number|malformed|bad block"
    # VictoriaMetrics 1.79 to 1.112, each file of its parts emptied, cut, overwritten and removed in turn
    r"|cannot unmarshal (metaindex|index|block)|expecting non-zero metaindex|cannot decompress"
    r"|cannot read \d+ bytes at offset|out of allowed range \[|unexpected end of JSON"
    r"|invalid character .{1,8} looking for|cannot parse (metadata|minimum dedup interval)"
    r"|cannot (open|read|stat)( file)?:? .{1,4096}\.(bin|json).{1,4096}no such file"
    r"|cannot open (table|part|partition|(prev |curr |next )?indexdb)\b"
)

RULES: tuple[Rule, ...] = (
    # A signal that nothing can catch: what it logged before does not explain it.
    Rule(
        "killed",
        "{title} was killed (SIGKILL): by someone, or by the kernel because memory ran short.",
        "Start it again; if it is killed again, free some memory.",
        RESUME,
        exit_codes=frozenset({-9, 137}),
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "port-in-use",
        "{title} cannot listen on port {port}: another program holds it.",
        "End what holds the port, or choose another port.",
        RESUME + " --port {port_key}=PORT",
        log=_patterns.ADDRESS_IN_USE,
    ),
    Rule(
        "disk-full",
        "{title} cannot write: there is no space left on the disk of {folder}.",
        "Free some space, then start it again.",
        "df -h {folder}",
        log=_patterns.NO_SPACE,
    ),
    Rule(
        "data-locked",
        "{title} finds its data in use by another process.",
        "End the other process that works in {folder}.",
        "fuser -v {folder}",
        log=r"lock DB directory: resource temporarily unavailable|cannot (create|acquire) (the )?(lock|flock)"
        r"|cannot lock file|already opened by another process|database is locked",
    ),
    Rule(
        "too-many-open-files",
        "{title} may not open as many files as it needs.",
        "Raise the limit of open files in this shell, then start it again.",
        "ulimit -n 65536",
        log=r"too many open files",
    ),
    Rule(
        "permission-denied",
        "{title} may not read or write its files in {folder}.",
        "Give the folder back to the user that runs the stack.",
        'sudo chown -R "$(id -un)" {folder}',
        log=_patterns.DENIED,
    ),
    Rule(
        "unknown-option",
        "{title} does not know an option that it was given: this program is made for another version of it.",
        "Use the version {version}, or put the program that worked before back.",
        log=r"flag provided but not defined|unknown (long |short )?flag|unexpected argument|unknown command"
        r"|flag needs an argument|unknown shorthand flag",
    ),
    Rule(
        "bad-config",
        "{title} does not accept its configuration.",
        "Have the configuration written anew; if that does not help, use the version {version}.",
        REPAIR,
        log=_patterns.BAD_CONFIG,
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "data-of-another-version",
        "{title} cannot read its data: another version of it wrote them.",
        "Put the program that wrote them back on PATH, before the other one.",
        RESUME,
        log=r"cannot parse path to part: unexpected number of substrings|unsupported (format|index|block) version"
        r"|(unknown|invalid) (index file|chunk format|chunk segment|index format) version|written by a newer",
    ),
    Rule(
        "data-damaged",
        "{title} cannot read its data in {folder}: it is damaged.",
        "Put the data aside and start with none. It is kept beside its folder.",
        REPAIR + " --allow-data-loss --cluster {cluster}",
        log=_DAMAGED,
        risk=Risk.LOSES_DATA,
    ),
    Rule(
        "out-of-memory",
        "{title} ran out of memory.",
        "Free some memory, then start it again.",
        RESUME,
        log=r"cannot allocate memory|runtime: out of memory|fatal error: out of memory",
        risk=Risk.RESTARTS,
        automatic=True,
    ),
    Rule(
        "wrong-machine",
        "{title} is built for another kind of machine.",
        "Get the program for this machine.",
        log=_patterns.WRONG_MACHINE,
    ),
    Rule("process-ended", "{title} {ending}.", "Start it again.", RESUME, risk=Risk.RESTARTS, automatic=True),
)
