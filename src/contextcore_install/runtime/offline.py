"""The offline bundle that an invocation names: what makes it unusable is said before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.runtime.app import App
from contextcore_install.stack.catalogue import COMPONENTS

if TYPE_CHECKING:
    from contextcore_install.system.packages.bundle_file import BundleFile

BUNDLE = "offline_bundle"


def named_bundle(app: App) -> BundleFile | None:
    """Return the bundle, if one is named, once all but its content is checked; raises InstallError."""
    options = app.settings.options
    if BUNDLE not in options:
        return None
    from contextcore_install.system.packages.bundle_source import open_bundle

    return open_bundle(Path(options[BUNDLE]))


def require_provider(bundle: BundleFile, provider: str) -> None:
    """Raise InstallError if a bundle has nothing for a provider."""
    providers = bundle.manifest.providers
    if provider not in providers:
        message = f"{bundle.path} is for --provider {' and '.join(providers)}, and not for {provider}"
        hint = f"use --provider {providers[0]}, or another bundle" if providers else ""
        raise InstallError("bundle-provider", message, hint=hint, exit_code=ExitCode.PREFLIGHT_FAILED)


def components_in(bundle: BundleFile) -> str:
    """Return the components whose programs are in a bundle, as `--components` takes them."""
    names = {entry.name for entry in bundle.entries("release")}
    return ",".join(item.name for item in COMPONENTS if item.name in names)
