"""Measures the program beside what is comparable: `make bench`, or `make bench ARGS='status --quick'`."""

from __future__ import annotations

import argparse
import shutil

import bundles
import downloads
import history
import kind_clusters
import kind_offline
import noop
import page
import status
import steps
import telemetry
from finished import installation
from measure import FOLDER
from report import Section, as_text, machine, write_page

WHICH = ("status", "noop", "history", "steps", "telemetry", "page", "downloads", "bundles", "kind", "offline")


def main() -> int:
    """Measure what is asked for, print it, and write the page where that is wanted."""
    options = _options()
    which = options.which or list(WHICH)
    FOLDER.mkdir(parents=True, exist_ok=True)
    sections = measured(which, quick=options.quick)
    print(f"{machine()}{as_text(sections)}")
    if options.write:
        write_page(sections)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


def measured(which: list[str], *, quick: bool) -> list[Section]:
    """Return what the benchmarks found; those that need an installation share one."""
    sections = _of_an_installation(which, quick=quick)
    if "steps" in which:
        sections.append(steps.measure(runs=1 if quick else 6))
    if "telemetry" in which:
        sections.append(telemetry.measure(runs=1 if quick else 5))
    if "page" in which and page.works():
        sections.append(page.measure(runs=2 if quick else 15))
    elif "page" in which:
        print("page: NOT MEASURED. It needs Chromium: scripts/get-chromium.sh")
    if "downloads" in which:
        sections.append(downloads.measure(quick=quick))
    if "bundles" in which:
        sections.append(bundles.measure(quick=quick))
    if "kind" in which and kind_clusters.works():
        sections.append(kind_clusters.measure(runs=1 if quick else 3))
    elif "kind" in which:
        print("kind: NOT MEASURED. It needs docker, kind and kubectl that work.")
    if "offline" in which and kind_clusters.works():
        sections.append(kind_offline.measure(runs=1 if quick else 3))
    return sections


def _of_an_installation(which: list[str], *, quick: bool) -> list[Section]:
    """Return what was found of a finished installation, which is made where any of it is wanted."""
    sections: list[Section] = []
    if not {"status", "noop", "history"} & set(which):
        return sections
    with installation() as made:
        if "status" in which:
            sections.append(status.measure(made, runs=5 if quick else 40))
        if "noop" in which:
            sections.append(noop.measure(made, runs=3 if quick else 20))
        if "history" in which:
            sections.append(history.measure(made, runs=2 if quick else 15))
    return sections


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__, allow_abbrev=False)
    parser.add_argument("which", nargs="*", metavar="BENCHMARK", help=f"{', '.join(WHICH)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few runs: to see that it works, not to compare")
    parser.add_argument("--write", action="store_true", help="rewrite what was measured in docs/benchmarks.md")
    options = parser.parse_args()
    if unknown := set(options.which) - set(WHICH):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    if options.write and options.quick:
        parser.error("--write takes no --quick: figures of few runs are not to be kept")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
