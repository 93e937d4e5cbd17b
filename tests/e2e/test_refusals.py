"""What is not ours is left alone, and said."""

from __future__ import annotations

import socket

from e2e.lab import ClusterInstallation, node_states


def test_a_port_that_somebody_has_is_named_with_another_one_to_take(alone: ClusterInstallation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        alone.ports["grafana"] = port
        refused = alone.install()
        assert refused.returncode == 3, refused.stdout
        assert f"{port}" in refused.stdout
        assert "--port grafana=" in refused.stdout
    assert node_states(alone.cluster) == {}
