"""Which wheels of a bundle are for this interpreter, and what is taken of them."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.system.packages.wheels import fits, install_wheels
from kit.offline_bundles import small_bundle

MACHINE, MINOR = os.uname().machine, sys.version_info[1]
HERE = f"cp3{MINOR}-cp3{MINOR}"
LINUX = sys.platform == "linux"


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        (f"py3{MINOR + 1}-none-any", False),
        (f"{HERE}-any", True),
        (f"cp3{MINOR + 1}-cp3{MINOR + 1}-any", False),
        ("cp36-abi3-any", True),
        (f"cp3{MINOR + 1}-abi3-any", False),
        (f"cp3{MINOR}-cp3{MINOR}t-any", "t" in getattr(sys, "abiflags", "")),
        (f"pp3{MINOR}-none-any", False),
        (f"{HERE}-manylinux2014_{MACHINE}.manylinux_2_17_{MACHINE}", LINUX),
        (f"{HERE}-manylinux_2_999_{MACHINE}", False),
        (f"{HERE}-manylinux_2_17_s390x", False),
        (f"{HERE}-linux_{MACHINE}", LINUX),
        (f"{HERE}-macosx_10_9_{MACHINE}", not LINUX),
        (f"{HERE}-macosx_99_0_{MACHINE}", False),
        (f"{HERE}-win_amd64", False),
    ],
)
def test_a_wheels_name_says_whether_it_can_be_used_here(tags: str, wanted: bool) -> None:
    assert fits(f"a_package-1.0-{tags}.whl") is wanted


def wheel(content: str) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("thing.py", content)
    return archive.getvalue()


def install(folder: Path, wheels: Mapping[str, bytes], pinned: bytes) -> Path:
    """Install `thing` 1.0 from a bundle of wheels by their tags; return where it is."""
    lock, target = folder / "lock", folder / "target"
    lock.write_text(f"thing==1.0 \\\n    --hash=sha256:{hashlib.sha256(pinned).hexdigest()}\n")
    target.mkdir()
    small_bundle(folder / "bundle", {f"wheels/Thing-1.0-{tags}.whl": content for tags, content in wheels.items()})
    install_wheels(lock, target, BundleFile.open(folder / "bundle"), folder)
    return target


def test_the_wheel_that_fits_is_unpacked_and_nothing_else_is_left(tmp_path: Path) -> None:
    ours = wheel("VALUE = 1\n")
    target = install(tmp_path, {"cp32-cp32-any": wheel(""), "py3-none-any": ours}, ours)
    assert (target / "thing.py").read_text() == "VALUE = 1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "lock", "target"]


def test_without_a_wheel_for_this_python_those_are_named_that_it_has_one_for(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        install(tmp_path, {"cp397-cp397-any": wheel(""), "cp398-cp398-any": wheel("")}, wheel(""))
    assert f"there is no wheel of thing 1.0 in it for Python 3.{MINOR} on" in caught.value.message
    assert caught.value.hint == "have a Python that it is for first on PATH (3.97, 3.98)"


def test_a_wheel_that_the_program_does_not_pin_is_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(InstallError) as caught:
        install(tmp_path, {"py3-none-any": wheel("evil")}, wheel("good"))
    assert caught.value.code == "bundle-wheel-missing"
    assert "is not the wheel of thing that lock pins" in caught.value.message
    assert list((tmp_path / "target").iterdir()) == []
