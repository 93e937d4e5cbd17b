"""Write the sha256 that upstream publishes for each pinned release into digests.toml: `make pins`.

With --check, only say which are missing; nothing is asked of anybody.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

from contextcore_install.core.errors import InstallError
from contextcore_install.core.threads import CancelToken
from contextcore_install.engine.context import Context
from contextcore_install.system.clock import SystemClock
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.releases import (
    DIGESTS_FILE,
    NOT_PUBLISHED,
    PLATFORMS,
    Platform,
    Release,
    releases,
)

_HEAD = """\
# The sha256 of each release's file, by version and platform. Written by `make pins` from what upstream publishes.
"""


def main(arguments: Sequence[str], pinned: Mapping[str, Release], target: Path = DIGESTS_FILE) -> int:
    options = _parser().parse_args(arguments)
    if options.check:
        missing = [sentence for release in pinned.values() for sentence in gaps(release)]
        _say(*missing)
        return int(bool(missing))
    try:
        with ThreadPoolExecutor() as pool:
            upstream = Upstream(os.environ, options.mirror)
            found = list(pool.map(lambda release: published(release, upstream), pinned.values()))
    except InstallError as error:
        _say(error.message, error.evidence)
        return 1
    rows = list(zip(pinned.values(), found, strict=True))
    if changed := [line for release, digests in rows for line in _changes(release, digests)]:
        _say(*changed, f"Nothing was written. If that is as it should be, remove the old ones from {target}.")
        return 1
    target.write_text("\n".join([_HEAD, *(_section(*row) for row in rows)]), encoding="utf-8")
    return 0


def gaps(release: Release) -> Iterator[str]:
    """Yield a sentence for each platform for which a release has no committed digest."""
    for platform in PLATFORMS:
        if not release.digest(platform):
            yield f"no sha256 is committed for {release.name} {release.version} {platform}: run `make pins`"


def published(release: Release, upstream: Upstream) -> dict[str, str]:
    """Return what upstream publishes as the digests of a release, by platform; raises InstallError."""
    context = Context("pins", CancelToken(), lambda *_: None, SystemClock(), inf)
    found = {}
    for platform in PLATFORMS:
        try:
            found[str(platform)] = upstream.published_sum(context, release, platform)
        except InstallError as error:
            if error.code not in {"no-release", "download-missing"}:
                raise
            found[str(platform)] = NOT_PUBLISHED
    return found


def _changes(release: Release, found: Mapping[str, str]) -> Iterator[str]:
    """Yield what upstream replaced under the same version, which nobody should."""
    for platform, digest in release.digests.items():
        if platform in found and found[platform] != digest:
            yield f"{release.name} {release.version} {platform} was {digest}, and is published as {found[platform]}"


def _section(release: Release, digests: Mapping[str, str]) -> str:
    lines = [f'[{release.name}."{release.version}"]', f'source = "{release.sums_url(Platform("SYSTEM", "MACHINE"))}"']
    return "\n".join([*lines, *(f'{platform} = "{digest}"' for platform, digest in digests.items()), ""])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make pins ARGS=…", description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="only say which digests are missing")
    parser.add_argument("--mirror", default="", metavar="URL", help="ask this mirror instead of upstream")
    return parser


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines if line))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], releases()))
