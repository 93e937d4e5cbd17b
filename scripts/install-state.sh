#!/usr/bin/env bash
# The installation's state for bash scripts: source this file, and use its functions. They read and write the state
# that ./create-cluster.sh reads and writes, under the same lock, and its metrics go the same way.
#
#   CLUSTER_NAME   the cluster (default o11y-dev)
#   RESUME_MODE    true: completed steps are skipped
#
# Works with bash 3.2 and newer, and needs neither jq nor curl.

_install_state_program=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/create-cluster.sh

_install_state() {
    if [ -n "${CLUSTER_NAME:-}" ]; then
        "$_install_state_program" state "$@" --cluster "$CLUSTER_NAME" </dev/null
    else
        "$_install_state_program" state "$@" </dev/null
    fi
}

# Say whether the state can be read; it comes into being with the first set_step_status.
init_state() {
    _install_state get >/dev/null
}

# get_step_status STEP: print pending, in_progress, completed or failed.
get_step_status() {
    _install_state get "$1"
}

# set_step_status STEP STATUS: record it, and send it to the metrics store if that is there.
set_step_status() {
    _install_state set "$1" "$2"
}

# should_skip_step STEP: succeed if this is a resumed run, and the step is completed.
should_skip_step() {
    [ "${RESUME_MODE:-false}" = true ] && [ "$(get_step_status "$1")" = completed ]
}

# run_step STEP COMMAND [ARGUMENT...]: run a command as a step. Fails as the command does.
run_step() {
    local step=$1 status=0
    shift
    if should_skip_step "$step"; then
        printf '%s: completed before, skipped\n' "$step"
        return 0
    fi
    set_step_status "$step" in_progress || return
    "$@" || status=$?
    if [ "$status" -eq 0 ]; then
        set_step_status "$step" completed
    else
        set_step_status "$step" failed
        return "$status"
    fi
}

# emit_step_metric [STEP STATUS]: send what the metrics store does not have yet. Never fails the script.
# set_step_status does so itself; call it when the store has come up since.
emit_step_metric() {
    _install_state send >/dev/null 2>&1 || true
}
