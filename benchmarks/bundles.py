"""An offline bundle: how large it is beside its parts, and how long it takes to write and to verify."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

from measure import FOLDER
from report import Row, Section

from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.bundle_format import BundleManifest, Part, write_bundle

MIB = 1024 * 1024
IMAGES, FILES, FILE_BYTES = 4, 350, 5_000
MOST_SIZE, MOST_TIMES, MOST_VERIFY = 1.01, 1.25, 1.25


def measure(*, quick: bool) -> Section:
    image_bytes, runs = (16 * MIB, 1) if quick else (256 * MIB, 5)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=FOLDER) as name:
        folder = Path(name)
        parts = _parts(folder, image_bytes)
        target, copies = folder / "stack.tar", folder / "copies"

        def write() -> None:
            target.unlink(missing_ok=True)
            write_bundle(target, BundleManifest("1", "2026-01-01T00:00:00Z", "linux", "amd64", ("kind",), ()), parts)

        def by_hand() -> None:
            shutil.rmtree(copies, ignore_errors=True)
            paths = [str(path) for path in sorted((folder / "parts").iterdir())]
            copies.mkdir()
            subprocess.run(["cp", *paths, str(copies)], check=True)
            subprocess.run(["sync", "-f", str(copies)], check=True)
            subprocess.run(["sha256sum", *paths], check=True, stdout=subprocess.DEVNULL)

        write_s, by_hand_s = _both(write, by_hand, runs)
        sha256sum = partial(subprocess.run, ["sha256sum", str(target)], check=True, stdout=subprocess.DEVNULL)
        verify_s, sum_s = _both(lambda: BundleFile.open(target).verify(), sha256sum, runs)
        size, whole = target.stat().st_size, sum(path.stat().st_size for path in (folder / "parts").iterdir())
    rows = [
        Row(
            f"size of a bundle of {len(parts)} files, {whole // MIB} MiB",
            f"{size / whole:.4f} x the sum of its parts",
            "",
            f"≤ {MOST_SIZE} x",
            size <= MOST_SIZE * whole,
        ),
        Row(
            "to write it, with its checksums, to the disk",
            f"{write_s:.2f} s",
            f"cp, sync and sha256sum of the parts: {by_hand_s:.2f} s, {write_s / by_hand_s:.2f} x",
            f"≤ {MOST_TIMES} x",
            write_s <= MOST_TIMES * by_hand_s,
        ),
        Row(
            "to verify it",
            f"{verify_s:.2f} s",
            f"sha256sum of the file: {sum_s:.2f} s, {verify_s / sum_s:.2f} x",
            f"≤ {MOST_VERIFY} x",
            verify_s <= MOST_VERIFY * sum_s,
        ),
    ]
    return Section("Offline bundles", rows, f"Random bytes in memory's cache; the median of {runs}, taken in turns.")


def _parts(folder: Path, image_bytes: int) -> list[Part]:
    (folder / "parts").mkdir()
    sizes = {f"image-{number}.tar": image_bytes for number in range(IMAGES)}
    sizes |= {f"file-{number}": FILE_BYTES for number in range(FILES)}
    made = []
    for name, size in sizes.items():
        path = folder / "parts" / name
        path.write_bytes(os.urandom(size))
        kind = "image" if name.endswith(".tar") else "tool"
        made.append(Part(f"{kind}s/{name}", kind, name, "1", partial(_copy, path)))
    return made


def _copy(path: Path, sink: IO[bytes]) -> None:
    with path.open("rb") as file:
        shutil.copyfileobj(file, sink, MIB)


def _both(ours: Callable[[], object], other: Callable[[], object], runs: int) -> tuple[float, float]:
    """Return the seconds that each takes, measured in turns, so that the machine's moods meet both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for task, taken in zip((ours, other), seconds, strict=True):
            began = time.perf_counter()
            task()
            taken.append(time.perf_counter() - began)
    return statistics.median(seconds[0]), statistics.median(seconds[1])
