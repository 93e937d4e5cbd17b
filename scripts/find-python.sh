#!/bin/sh
# Prints the real path of the best Python >= 3.11 on this machine, or says in one sentence what to type and exits 3.
# Shims (pyenv, asdf, mise) and virtual environments are looked through by asking the interpreter for its own path.
# Arguments are the folders to search after PATH; without any, those where Pythons usually are, as programs started
# by cron and launchd have a short PATH.
set -u
[ $# -gt 0 ] || set -- /opt/homebrew/bin /usr/local/bin /usr/bin "${HOME:-/nonexistent}/.local/bin"

# Prints "MAJOR.MINOR EXECUTABLE". Also right for a Python 2, which knows no -I; only the builtin module sys is
# imported, so nothing in the current folder can stand in for it.
report='import sys; sys.stdout.write("%d.%d %s\n" % (sys.version_info[0], sys.version_info[1], sys.executable))'
real='import os, sys; print(os.path.realpath(sys.executable))'
too_old=

try() { # CANDIDATE: prints the interpreter and exits, or returns
    [ -f "$1" ] && [ -x "$1" ] || return 0
    # Without Apple's developer tools this file is a stub that opens a dialog.
    if [ "$1" = /usr/bin/python3 ] && [ -x /usr/bin/xcode-select ]; then
        /usr/bin/xcode-select -p >/dev/null 2>&1 || return 0
    fi
    answer=$("$1" -E -S -c "$report" 2>/dev/null </dev/null) || return 0
    version=${answer%% *}
    executable=${answer#* }
    case $version in
    3.[0-9] | 3.10 | [0-2].*) too_old=${too_old:-"$version ($1)"} ;;
    3.* | [4-9].*)
        # Asked of the real one, so an interpreter that only works through its shim is passed over.
        found=$("$executable" -I -S -c "$real" 2>/dev/null </dev/null) && [ -x "$found" ] || return 0
        printf '%s\n' "$found"
        exit 0
        ;;
    esac
}

names='python3 python3.14 python3.13 python3.12 python3.11 python'
for name in $names; do
    candidate=$(command -v "$name" 2>/dev/null) && try "$candidate"
done
for folder in "$@"; do
    for name in $names; do try "$folder/$name"; done
done

how_to_get_one() {
    if command -v brew >/dev/null 2>&1; then
        echo 'brew install python@3.13'
        return
    fi
    for version in 3.13 3.12 3.11; do
        if apt-cache show "python$version" >/dev/null 2>&1; then
            echo "sudo apt-get install python$version"
            return
        fi
    done
    if command -v apt-get >/dev/null 2>&1 && [ -z "$too_old" ]; then
        echo 'sudo apt-get update && sudo apt-get install python3'
    elif command -v dnf >/dev/null 2>&1; then
        echo 'sudo dnf install python3.12'
    else
        echo 'uv python install 3.13 (or see https://www.python.org/downloads/)'
    fi
}

if [ -n "$too_old" ]; then
    reason="only Python $too_old was found"
else
    reason='no Python was found'
fi
echo "create-cluster.sh: Python 3.11 or newer is needed and $reason; type: $(how_to_get_one)" >&2
exit 3
