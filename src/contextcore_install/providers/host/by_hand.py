"""What a learner types to do by hand what this provider does."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.render import HostRelease


def by_hand(step_id: str, layout: Layout, release: Callable[[], HostRelease]) -> Sequence[str]:
    """Return the commands for a step; raises InstallError where the release cannot be told."""
    if step_id == "preflight":
        return ["command -v mimir victoria-metrics prometheus", "df -h ~", "free -m"]
    if step_id == "cluster_create":
        return [f"mkdir -p -m 700 {shlex.quote(str(layout.root))}"]
    if step_id not in {"manifests_apply", "pods_ready"}:
        return []
    wanted = release()
    if step_id == "pods_ready":
        return [f"tail -f {shlex.quote(str(layout.logs / name))}.log" for name in wanted.programs]
    return [f"nohup {shlex.join(wanted.render(name).argv)} &" for name in wanted.programs]
