"""What an existing cluster needs of this machine, and what is left of a provider."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from contextcore_install.core.provider import ProviderConfig
from contextcore_install.providers.existing_cluster.provider import KubeContextProvider


def test_without_kubectl_nothing_is_in_the_way_of_installing_it(tmp_path: Path) -> None:
    """Preflight provides nothing as long as something else is wrong."""
    places, environ = (tmp_path / "dev", tmp_path / "bin"), {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    config = ProviderConfig("dev", *places, environ, options={"context": "lab"}, install_tools=True)
    requirements = {item.id: item for item in KubeContextProvider(config).requirements()}
    wrong = {name for name, item in requirements.items() if item.probe().findings}
    assert wrong == {"kubectl"}
    assert requirements["kubectl"].fix
    assert requirements["context"].probe().skipped


def test_a_provider_that_forwarded_nothing_is_kept_by_nobody(tmp_path: Path) -> None:
    config = ProviderConfig("dev", tmp_path / "dev", tmp_path / "bin", {"PATH": ""}, options={"context": "lab"})
    provider = KubeContextProvider(config)
    assert provider.overview().hints
    seen = weakref.ref(provider)
    del provider
    gc.collect()
    assert seen() is None
