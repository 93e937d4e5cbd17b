"""The reference lists every requirement that there is, in its category, and says rightly whether it is critical."""

from __future__ import annotations

import re
from pathlib import Path

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import InstallError
from contextcore_install.core.provider import Endpoint, Overview, ProviderConfig, Requirement, Workload
from contextcore_install.core.requirements import Category, Storage
from contextcore_install.providers.registry import PROVIDERS, create_provider
from contextcore_install.stack.catalogue import COMPONENTS, PORTS
from contextcore_install.system.http import LoopbackHttp
from contextcore_install.verification.facts import InstallationFacts
from contextcore_install.verification.requirements import VerificationTarget, requirements
from kit.fakes import FakeProvider, RealClock
from kit.offline_bundles import about_here, small_bundle

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/requirements.md"
Listed = dict[str, tuple[str, bool]]


def documented() -> Listed:
    """Return each id's category, and whether it is critical."""
    found: Listed = {}
    for category in Category:
        section = PAGE.read_text().partition(f"\n## {category}\n")[2].partition("\n## ")[0]
        for ids, critical in re.findall(r"^\| (`[^|]+) \| (yes|no) \|", section, flags=re.MULTILINE):
            found |= dict.fromkeys(re.findall(r"`(\w+)`", ids), (category.value, critical == "yes"))
    return found


def listed(wanted: list[Requirement]) -> Listed:
    return {each.id.replace("-", "_"): (each.category.value, each.critical) for each in wanted}


def of_verification(facts: InstallationFacts) -> Listed:
    nothing = VerificationTarget(
        FakeProvider(), LoopbackHttp(), "c", RealClock().now_us, lambda: None, str, replaced=lambda _: []
    )
    return listed(list(requirements(nothing, facts)))


def of_providers(folder: Path) -> Listed:
    found: Listed = {}
    bundle = folder / "o11y.bundle"
    small_bundle(bundle, about=about_here(*PROVIDERS))
    for name in PROVIDERS:
        config = ProviderConfig("c", folder / "c", folder / "bin", {"PATH": str(folder)}, options={"context": "lab"})
        chosen = frozenset(component.name for component in COMPONENTS)
        fetching = replace(config, install_tools=True, components=chosen)
        for each in (fetching, replace(fetching, bundle=bundle)):
            provider = create_provider(name, each)
            found |= listed([*provider.requirements(), *provider.cluster_services()])
    ports = {f"port_{key.replace('-', '_')}" for key in PORTS}
    return {("port_PORT" if each in ports else each): about for each, about in found.items()}


def test_the_reference_lists_all_requirements_and_no_others(tmp_path: Path) -> None:
    there = InstallationFacts(
        (),
        [Workload("COMPONENT", True, "ready")],
        [Endpoint("grafana", "http://127.0.0.1:1", "/")],
        Overview(),
        [Storage("COMPONENT", "/data", "")],
        (),
        "x",
    )
    away = InstallError("api-down", "no answer")
    unknown = InstallationFacts(away, away, away, away, away, away, away)
    assert of_verification(there) | of_verification(unknown) | of_providers(tmp_path) == documented()
