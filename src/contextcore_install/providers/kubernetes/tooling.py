"""The requirements that both providers have: kubectl, its kin, and manifests that can be rendered."""

from __future__ import annotations

from collections.abc import Callable

from contextcore_install.core.findings import Finding, Remedy
from contextcore_install.core.hints import INSTALL_TOOLS
from contextcore_install.core.ports import StepContext
from contextcore_install.core.provider import Probe, ProviderConfig, Requirement
from contextcore_install.providers.kubernetes.render import ManifestSource, manifests_probe
from contextcore_install.system.packages.kube_tools import install_tool
from contextcore_install.system.programs import Tool, ToolBox


def tool_requirement(tool: Tool, box: ToolBox, config: ProviderConfig) -> Requirement:
    """Return the requirement of a tool that is recent enough; it is installed where that was asked for."""

    def probe() -> Probe:
        found = box.find(tool)
        oldest = ".".join(map(str, tool.oldest))
        remedy = Remedy(
            f"Have {tool.name} installed into the program's own folder, or install it yourself: {tool.hint}",
            INSTALL_TOOLS,
            automatic=config.install_tools,
        )
        if found is None:
            message = f"There is no `{tool.name}` on this machine."
            return Probe(findings=(Finding(f"{tool.name}-missing", message, "Looked on PATH", remedy),))
        if found.version and found.version < tool.oldest:
            message = f"`{tool.name}` is too old: {found.label}; {oldest} is needed."
            return Probe(findings=(Finding(f"{tool.name}-old", message, found.label, remedy),))
        return Probe(found.label)

    fix: Callable[[StepContext], None] | None = None
    if config.install_tools:

        def fix(ctx: StepContext) -> None:
            install_tool(tool.name, ctx, config.bin_folder, config.environ)

    return Requirement(tool.name, f"{tool.name}", probe, fix)


def manifests_requirement(source: ManifestSource, box: ToolBox, kubectl: Tool) -> Requirement:
    """Return the requirement that the manifests can be rendered, where there is a kubectl to do it."""

    def probe() -> Probe:
        if box.find(kubectl) is None:
            return Probe("not known: it needs kubectl", skipped=True)
        evidence, findings = manifests_probe(source)
        return Probe(evidence, findings)

    return Requirement("manifests", "The manifests", probe)
