"""From the launcher to the program: makes sure of the packages that it depends on, and goes.

What only a first start or a damaged runtime needs is in `system/packages/runtime.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from contextcore_install.core.errors import LAUNCHER
from contextcore_install.system.packages.runtime_folder import is_complete, is_touched, runtime_key

LOCK = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "requirements.lock")
#: The launcher speaks to us through -X, as variables would reach every program started from here.
OPTIONS = sys._xoptions  # noqa: SLF001 - documented, for want of a public name
BUG = 70  # what the program ends with if it is wrong; its own name for this may not be imported yet


def launch(runtimes: str, keep_bytecode_in: Callable[[str], None]) -> int:
    """Run the program with the arguments of this process and return its exit code.

    `runtimes` is where its packages are kept, empty if there is no place for them: the program says so.
    """
    sys.argv[0] = str(OPTIONS.get("launcher", LAUNCHER))
    if not runtimes:
        return program()
    if needs_no_packages(sys.argv[1:]):
        try:
            return program()
        except ImportError:  # it asked for something else, or for a signature
            pass
    if home := foreign_home():
        why = f"this runs as another user than the owner of HOME ({home})"
        sys.stderr.write(f"{LAUNCHER}: {why}; type it without sudo: {typed()}\n")
        return 3
    folder = os.path.join(runtimes, runtime_key(LOCK))
    whole = is_complete(folder) and (only_reads(sys.argv[1:]) or not is_touched(folder))
    if "remember" in OPTIONS or not whole:
        from contextcore_install.core.errors import InstallError
        from contextcore_install.storage.home import find_home
        from contextcore_install.system.packages.runtime import make_ready, named_bundle

        try:
            find_home(os.environ, os.geteuid())
        except InstallError:
            return program()  # which says what is wrong with it
        if code := make_ready(LOCK, folder, again=typed(), bundle=named_bundle(sys.argv[1:])):
            return code
        keep_bytecode_in(runtimes)
    sys.path.insert(1, folder)
    return run(folder)


def typed() -> str:
    """Return the command line that the user typed."""
    import shlex

    return shlex.join(sys.argv)


def needs_no_packages(arguments: list[str]) -> bool:
    """Tell whether the program will only print its help or version, or look at a bundle.

    A bundle is looked at before anything of it is used, on a machine that can get packages from nowhere else.
    """
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    looks = arguments[:2] in (["bundle", "verify"], ["bundle", "list"]) or arguments[-1:] == ["--bundle"]
    return looks or not {"-h", "--help", "--version"}.isdisjoint(words)


def only_reads(arguments: list[str]) -> bool:
    """Tell whether the program will only read its records, for which it needs no packages either.

    A look at every file of theirs would be a good part of the time that it takes.
    """
    return "--status" in arguments or arguments[:1] == ["completion"] or arguments[:2] == ["state", "get"]


def foreign_home() -> str | None:
    """Return HOME if this is sudo and it is another user's: what we write there would lock its owner out."""
    if "SUDO_USER" not in os.environ or os.environ.get("CONTEXTCORE_HOME"):
        return None
    home = os.environ["HOME"]
    try:
        return home if os.stat(home).st_uid != os.geteuid() else None
    except OSError:
        return None


def program() -> int:
    from contextcore_install.__main__ import main

    return main(sys.argv[1:])


def run(folder: str) -> int:
    """Run the program; if it fails while files of its runtime are damaged, have them replaced and start again."""
    try:
        code = program()
    except ImportError:
        if (code := heal(folder)) == 0:
            raise
    except KeyboardInterrupt:  # before the program could handle it
        return 130
    if code == BUG:  # in a step, whose errors never get here
        code = heal(folder) or code
    return code


def heal(folder: str) -> int:
    """Start again if files of the runtime were damaged and could be replaced.

    Returns 0 if they are whole, and else the exit code after saying why they could not be replaced.
    """
    from pathlib import Path

    from contextcore_install.system.packages.runtime import is_whole, named_bundle, prepare, reporting

    if "healed" in OPTIONS or is_whole(LOCK, folder):
        return 0
    bundle = named_bundle(sys.argv[1:])
    code = reporting(lambda: prepare(Path(LOCK), Path(folder), bundle), again=typed())
    if code == 0:
        os.execv(sys.executable, [sys.executable, "-X", "healed", *sys.orig_argv[1:]])
    return code
