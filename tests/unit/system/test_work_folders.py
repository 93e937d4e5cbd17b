"""Temporary folders of ours, and what becomes of them when a program is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from contextcore_install.system.lock import sweep_work_folders, work_folder

HOLDER = """
import sys, time
from pathlib import Path
from contextcore_install.system.lock import work_folder
with work_folder(Path(sys.argv[1]), ".getting-") as folder:
    (folder / "half").write_text("x")
    (folder / "closed").mkdir(mode=0)
    print(flush=True)
    time.sleep(60)
"""


def test_a_folder_is_private_and_goes_with_the_work(tmp_path: Path) -> None:
    with work_folder(tmp_path, ".getting-") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_left_is_removed_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    (tmp_path / ".getting-a-file").touch()
    (tmp_path / "others").mkdir()
    environ = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        (used,) = (path for path in tmp_path.glob(".getting-*") if path.is_dir())
        with work_folder(tmp_path, ".getting-"):
            assert (used / "half").exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    sweep_work_folders(tmp_path, ".getting-")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".getting-a-file", "others"]


def test_a_folder_that_is_not_there_has_nothing_to_sweep(tmp_path: Path) -> None:
    sweep_work_folders(tmp_path / "bin", ".getting-")
