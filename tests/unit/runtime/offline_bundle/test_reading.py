"""`bundle list` and `bundle verify` of a file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from contextcore_install.commands.bundle import bundle
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system.packages.bundle_signature import read_signer
from kit.installed_records import app
from kit.offline_bundles import ABOUT, CONTENTS, small_bundle
from kit.signing_keys import SigningPair


def said(folder: Path, *words: str) -> str:
    out = io.StringIO()
    assert bundle(app(folder, "bundle", *words, stdout=out)) == ExitCode.DONE
    return out.getvalue()


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    small_bundle(tmp_path / "stack.tar")
    return tmp_path / "stack.tar"


def test_a_list_for_scripts_has_every_member(tmp_path: Path, stack: Path) -> None:
    document = json.loads(said(tmp_path, "list", str(stack), "--output", "json"))
    assert [entry["path"] for entry in document.pop("entries")] == list(CONTENTS)
    assert document == {
        "schema": "contextcore-install/bundle/v1",
        "path": str(stack),
        "version": ABOUT.version,
        "created": ABOUT.created,
        "platform": "linux/amd64",
        "providers": ["host"],
        "signed": False,
        "bytes": sum(map(len, CONTENTS.values())),
    }


def test_a_list_for_people_has_the_program_as_one_line(tmp_path: Path, stack: Path) -> None:
    head, program, *others = said(tmp_path, "list", str(stack)).split("\n\n")[0].splitlines()
    assert head.split() == ["kind", "name", "version", "size", "sha256"]
    assert program.split() == ["program", "contextcore-install", ABOUT.version, "10", "bytes", "(2", "files)"]
    assert [line.split()[0] for line in others] == ["wheel", "release", "image"]


def test_a_whole_bundle_is_said_to_be_so(tmp_path: Path, stack: Path) -> None:
    assert said(tmp_path, "verify", str(stack)).startswith(f"{stack} is whole: 5 files, ")
    document = json.loads(said(tmp_path, "verify", str(stack), "--output", "json"))
    assert (document["path"], document["files"], document["signed"]) == (str(stack), 5, False)


def test_a_damaged_bundle_is_refused_with_exit_code_1(tmp_path: Path, stack: Path) -> None:
    stack.write_bytes(stack.read_bytes().replace(b"PKPK", b"PKpK", 1))
    with pytest.raises(InstallError, match=r"wheels/a-1\.0-py3-none-any\.whl is not what it was") as caught:
        said(tmp_path, "verify", str(stack))
    assert caught.value.exit_code == ExitCode.STEP_FAILED


def test_a_signature_counts_only_if_it_was_checked(tmp_path: Path) -> None:
    pair, stack = SigningPair(), tmp_path / "stack.tar"
    small_bundle(stack, sign=read_signer(pair.write(tmp_path / "key"), str))
    assert "which was not checked" in " ".join(said(tmp_path, "verify", str(stack)).split())
    checked = json.loads(said(tmp_path, "verify", str(stack), "--public-key", pair.public, "--output", "json"))
    assert (checked["signed"], checked["signature_checked"]) == (True, True)
