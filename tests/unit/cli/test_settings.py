"""Flags that make sense only somewhere: each does somewhere, and there it is taken."""

from __future__ import annotations

import pytest

from contextcore_install.cli.grammar import FLAGS
from contextcore_install.cli.settings import parse

RESTRICTED = {
    "--live": ["--status", "--live"],
    "--tutorial": ["--resume", "--tutorial"],
    "--allow-data-loss": ["--repair", "--allow-data-loss", "--cluster", "demo"],
    "--open": ["--repair", "--open"],
    "--skip-wait": ["--resume", "--skip-wait"],
    "--install-tools": ["--repair", "--install-tools"],
    "--components": ["plan", "--components", "loki"],
    "--port": ["--resume", "--port", "mimir=19009"],
    "--timeout": ["--repair", "--timeout", "600"],
    "--provider": ["--resume", "--provider", "host"],
    "--workers": ["--workers", "2"],
    "--node-image": ["plan", "--node-image", "node"],
    "--context": ["--resume", "--context", "far"],
    "--manifests": ["plan", "--manifests", "folder"],
    "--registry": ["--repair", "--registry", "mirror.example"],
    "--pull": ["--repair", "--pull", "never"],
}
"""The name of each in the grammar, and a command line that it is for."""


def test_every_restricted_flag_is_tried_here() -> None:
    assert {name for name, flag in FLAGS.items() if not flag.tolerated} == RESTRICTED.keys()


@pytest.mark.parametrize("words", RESTRICTED.values(), ids=RESTRICTED)
def test_a_flag_is_taken_where_it_makes_sense(words: list[str]) -> None:
    parse(words, {}, "contextcore-install")
