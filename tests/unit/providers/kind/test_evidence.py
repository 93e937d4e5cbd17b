"""What a node's logs show, and what is left out of them."""

from __future__ import annotations

from contextcore_install.providers.kind.report import without_values

MARKER = "pl4nt3dM4rk3r"


def test_a_kubelets_log_shows_no_value_of_a_variable() -> None:
    log = (
        "container &Container{Name:chatty,Args:[run],Env:[]EnvVar{"
        f"EnvVar{{Name:PLAIN,Value:{MARKER},ValueFrom:nil,}},EnvVar{{Name:ODD,Value:a,b}}\n{MARKER},ValueFrom:nil,}},"
        "EnvVar{Name:EMPTY,Value:,ValueFrom:&EnvVarSource{},},}"
    )
    assert without_values(log) == (
        "container &Container{Name:chatty,Args:[run],Env:[]EnvVar{EnvVar{Name:PLAIN,Value:<hidden>,ValueFrom:nil,},"
        "EnvVar{Name:ODD,Value:<hidden>,ValueFrom:nil,},EnvVar{Name:EMPTY,Value:,ValueFrom:&EnvVarSource{},},}"
    )
