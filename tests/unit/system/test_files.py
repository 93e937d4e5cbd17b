"""What is said of a place that cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.system.files import write_atomically, writing


def test_a_file_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    in_the_way = tmp_path / "in the way"
    in_the_way.write_text("")
    with pytest.raises(InstallError) as caught, writing(tmp_path):
        in_the_way.mkdir()
    assert caught.value.message == f"{in_the_way} cannot be written: File exists."
    assert caught.value.hint == f"df -h {tmp_path}; ls -ld {tmp_path}"


def test_a_temporary_file_that_could_not_be_made_is_not_named(tmp_path: Path) -> None:
    place = tmp_path / "absent"
    with pytest.raises(InstallError) as caught, writing(place):
        write_atomically(place / "file", "")
    assert caught.value.message == f"{place} cannot be written: No such file or directory."


def test_a_folder_that_is_where_a_file_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(InstallError) as caught, writing(tmp_path):
        write_atomically(tmp_path / "file", "")
    assert caught.value.message == f"{tmp_path / 'file'} cannot be written: Is a directory."


def test_what_helps_an_exhausted_machine_is_said(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught, writing(tmp_path, "some-code", "It cannot be kept"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (caught.value.code, caught.value.message) == ("some-code", "It cannot be kept: No space left on device.")
    assert caught.value.hint.startswith("free some disk space")
