"""From create-cluster.sh to the program: find what it depends on, or prepare it once, and go.

Every start passes through here and nothing caches a script's compiled form, so this stays short and imports
little. What only a first start needs is in `tools/runtime.py`.
"""

from __future__ import annotations

import os
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
LOCK = os.path.join(os.path.dirname(SOURCE), "requirements.lock")
#: The launcher speaks to us through -X, as variables would reach every program started from here.
OPTIONS = sys._xoptions  # noqa: SLF001 - documented, for want of a public name

BUG = 70
"""What the program ends with where it is wrong; its own name for this may not be imported yet."""


def main() -> int:
    """Run the program with the arguments of this process and return its exit code."""
    sys.argv[0] = str(OPTIONS.get("launcher", "create-cluster.sh"))
    if home := foreign_home():
        return refuse(home)
    own = os.environ.get("CONTEXTCORE_HOME") or os.path.join(os.environ["HOME"], ".contextcore")
    runtimes = os.path.join(os.path.abspath(own), "runtime")
    sys.path.insert(0, SOURCE)
    keep_bytecode_in(runtimes)
    from contextcore_install.tools.runtime_folder import is_complete, runtime_key

    folder = os.path.join(runtimes, runtime_key(LOCK))
    if "remember" in OPTIONS or not is_complete(folder):
        import shlex

        from contextcore_install.tools.runtime import first_start

        if code := first_start(LOCK, folder, again=shlex.join(sys.argv)):
            return code
        keep_bytecode_in(runtimes)
    sys.path.insert(1, folder)
    return run(folder)


def foreign_home() -> str | None:
    """Return HOME if this is sudo and it is another user's: what we write there would lock its owner out."""
    if "SUDO_USER" not in os.environ or os.environ.get("CONTEXTCORE_HOME"):
        return None
    home = os.environ["HOME"]
    try:
        return home if os.stat(home).st_uid != os.geteuid() else None
    except OSError:
        return None


def refuse(home: str) -> int:
    """Say why this is not run under sudo, and what to type."""
    import shlex

    why = f"this runs as another user than the owner of HOME ({home})"
    sys.stderr.write(f"create-cluster.sh: {why}; type it without sudo: {shlex.join(sys.argv)}\n")
    return 3


def keep_bytecode_in(runtimes: str) -> None:
    """Have imports cached in our own folder and not beside the sources, which may belong to somebody else.

    Until that folder exists nothing is cached: the import would create it, open to everybody.
    """
    sys.dont_write_bytecode = not os.path.isdir(runtimes)
    sys.pycache_prefix = None if sys.dont_write_bytecode else os.path.join(runtimes, "pycache")


def run(folder: str) -> int:
    """Run the program; if it fails for want of a file that its runtime has lost, prepare that again first."""
    try:
        from contextcore_install.cli import main as program

        code = program(sys.argv[1:])
    except ImportError:
        heal(folder)
        raise
    except KeyboardInterrupt:  # before the program could handle it
        return 130
    if code == BUG:  # in a step, whose errors never get here
        heal(folder)
    return code


def heal(folder: str) -> None:
    """Begin anew if the runtime has lost files, with one that is prepared again; return if it has not."""
    from contextcore_install.tools.runtime import discard_if_damaged

    if discard_if_damaged(folder):
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    raise SystemExit(main())
