"""All components' releases from one slow mirror: how long it takes, and in how much memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from downloads_mirror import RATE, SIZES, Mirror, make_files, serve
from measure import FOLDER, ROOT, Command, answer
from report import Row, Section

from contextcore_install.system.packages.releases import Platform, releases

MOST_TIMES_LARGEST, MOST_MORE_S, MOST_MEMORY = 1.15, 5.0, 60 * 1024 * 1024
MIB = 1024 * 1024


def measure(*, quick: bool) -> Section:
    share = 0.05 if quick else 1.0
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="releases-", dir=FOLDER) as folder:
        files = make_files(Path(folder), share)
        with serve(files, RATE) as mirror, _empty() as home:
            began = time.perf_counter()
            memory = int(answer(_command("downloads_run.py", mirror.url, str(home))))
            ours_s = time.perf_counter() - began
            largest_s = mirror.largest_s
        with serve(files, RATE) as mirror, _empty() as home:
            began = time.perf_counter()
            _by_hand(mirror, home)
            by_hand_s = time.perf_counter() - began
    return _section(share, ours_s, largest_s, by_hand_s, memory)


def _command(script: str, *arguments: str) -> Command:
    return Command([sys.executable, "-S", str(ROOT / "benchmarks" / script), *arguments])


@contextmanager
def _empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="home-", dir=FOLDER) as folder:
        yield Path(folder)


def _by_hand(mirror: Mirror, home: Path) -> None:
    platform, lines = Platform.here(), []
    for name in SIZES:
        release = releases()[name]
        how = "zip" if release.file.endswith(".zip") else "tar" if release.is_archive else "none"
        path = next(path for path in mirror.files if release.url(platform).endswith(path))
        digest = mirror.files[path].with_name(f"{mirror.files[path].name}.sums").read_text().split()[0]
        lines.append(f"{mirror.url}{path} {digest} {release.file_name(platform)} {how}\n")
    shell = shutil.which("sh") or "/bin/sh"
    script = str(ROOT / "benchmarks" / "downloads_by_hand.sh")
    subprocess.run([shell, script, str(home)], input="".join(lines), text=True, check=True)


def _section(share: float, ours_s: float, largest_s: float, by_hand_s: float, memory: int) -> Section:
    most_s = MOST_TIMES_LARGEST * largest_s + MOST_MORE_S
    total = sum(SIZES.values()) * share / 1e6
    limit = f"at most {MOST_TIMES_LARGEST} times its largest download ({largest_s:.1f} s) and {MOST_MORE_S:.0f} s"
    rows = [
        Row(
            f"all {len(SIZES)} components, {total:.0f} MB, downloaded, checked, unpacked and tried out",
            f"{ours_s:.1f} s",
            f"curl, sha256sum, tar and zipfile, at the same time: {by_hand_s:.1f} s",
            limit,
            ours_s <= most_s,
        ),
        Row(
            "peak memory of the installer",
            f"{memory / MIB:.0f} MiB",
            "",
            f"at most {MOST_MEMORY // MIB} MiB",
            memory <= MOST_MEMORY,
        ),
    ]
    note = (
        f"A mirror on loopback gives {RATE / 1e6:.0f} MB/s to all connections together, with files of the real sizes: "
        f"{', '.join(f'{name} {size / 1e6:.0f} MB' for name, size in SIZES.items())}. Grafana's tree has 10,000 files."
    )
    return Section("Downloads", rows, note)
