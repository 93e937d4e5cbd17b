"""The pinned releases as data."""

from __future__ import annotations

import re
import tomllib

import pytest

from contextcore_install.stack.catalogue import COMPONENTS
from contextcore_install.system.packages.releases import DIGESTS_FILE, NOT_PUBLISHED, PLATFORMS, Platform, releases

LINUX = Platform("linux", "amd64")


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_a_component_has_the_version_and_the_trial_of_the_catalogue(component: object) -> None:
    item = next(item for item in COMPONENTS if item is component)
    release = releases()[item.name]
    assert release.version == item.version
    assert list(release.trial) == [item.program.version_flag]


def test_each_release_has_its_own_place_for_each_platform() -> None:
    urls = [release.url(platform) for release in releases().values() for platform in PLATFORMS]
    stored = [release.stored_name(platform) for release in releases().values() for platform in PLATFORMS]
    assert len(set(urls)) == len(set(stored)) == len(releases()) * len(PLATFORMS)
    assert all(url.startswith("https://") for url in urls)


def test_the_addresses_are_those_that_upstream_documents() -> None:
    found = {name: (release.url(LINUX), release.sums_url(LINUX)) for name, release in releases().items()}
    github = "https://github.com/grafana"
    assert found["tempo"] == (
        f"{github}/tempo/releases/download/v3.0.3/tempo_3.0.3_linux_amd64.tar.gz",
        f"{github}/tempo/releases/download/v3.0.3/SHA256SUMS",
    )
    assert found["loki"][0] == f"{github}/loki/releases/download/v3.7.6/loki-linux-amd64.zip"
    assert found["mimir"][1] == f"{github}/mimir/releases/download/mimir-3.1.1/mimir-linux-amd64-sha-256"
    grafana = "https://dl.grafana.com/oss/release/grafana-13.2.3.linux-amd64.tar.gz"
    assert found["grafana"] == (grafana, f"{grafana}.sha256")


def test_a_committed_digest_is_of_a_version_that_is_pinned_and_says_where_it_is_from() -> None:
    digests = tomllib.loads(DIGESTS_FILE.read_text(encoding="utf-8"))
    names = {str(platform) for platform in PLATFORMS}
    for name, versions in digests.items():
        assert list(versions) == [releases()[name].version], "`make pins` removes those of other versions"
        for row in versions.values():
            assert row.pop("source")
            assert set(row) <= names
            assert all(re.fullmatch(rf"[0-9a-f]{{64}}|{NOT_PUBLISHED}", digest) for digest in row.values())
            assert len(set(row.values()) - {NOT_PUBLISHED}) == len([d for d in row.values() if d != NOT_PUBLISHED])
