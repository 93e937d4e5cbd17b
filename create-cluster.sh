#!/bin/sh
# Starts contextcore-install with whatever Python 3.11 or newer this machine has: no venv, nothing installed
# beforehand. Arguments go on untouched. Everything that takes thought happens in Python (bootstrap.py); on a
# later start this script runs no other process than the interpreter, which replaces it.
set -u

say_and_exit() { # STATUS SENTENCE
    printf 'create-cluster.sh: %s\n' "$2" >&2
    exit "$1"
}

# Where the checkout is, also through links to this script. `readlink -f` is missing on older macOS.
self=$0
case $self in /* | ./* | ../*) ;; *) self=./$self ;; esac
typed=$self # as hints name it: `sh create-cluster.sh` is found by no shell without its folder
while [ -L "$self" ]; do
    target=$(readlink "$self") || say_and_exit 3 "cannot follow the link $self."
    case $target in /*) self=$target ;; *) self=${self%/*}/$target ;; esac
done
root=${self%/*}

home=${CONTEXTCORE_HOME:-${HOME:-}/.contextcore}
case $home in \~/*) home=${HOME:-}${home#\~} ;; esac

# The remembered interpreter is one line; every further line names a file it cannot start without, so that an
# interpreter that was half removed is searched for again instead of failing below. The last is the first again:
# a note that was cut off may name another interpreter.
python=
if [ -f "$home/runtime/python" ] && [ -r "$home/runtime/python" ]; then
    {
        IFS= read -r python
        last=
        while IFS= read -r needed; do
            [ -e "$needed" ] || python=
            last=$needed
        done
        [ "$last" = "$python" ] || python=
    } <"$home/runtime/python"
fi
if [ -f "$python" ] && [ -x "$python" ]; then
    exec "$python" -I -S -X launcher="$typed" "$root/src/contextcore_install/bootstrap.py" "$@"
fi

python=$(sh "$root/scripts/find-python.sh") || exit
exec "$python" -I -S -X launcher="$typed" -X remember "$root/src/contextcore_install/bootstrap.py" "$@"
