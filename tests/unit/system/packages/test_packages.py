"""Which installer is tried when, and what is said when none succeeds."""

from __future__ import annotations

import errno
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.system.packages import packages
from contextcore_install.system.packages.packages import explain, explain_os_error
from contextcore_install.system.process import Completed

DONE = Completed((), 0, ("Successfully installed",))
NO_PIP = Completed((), 1, ("/usr/bin/python3: No module named pip",))
OFFLINE = Completed((), 1, ("E: Failed to fetch http://deb.example/x  Temporary failure resolving 'deb.example'",))


class FakeRun:
    """Answers each program by its name, and keeps what was run with which PYTHONPATH."""

    def __init__(self, **answers: Completed | Callable[[Sequence[str], str], Completed]) -> None:
        self.answers = answers
        self.calls: list[tuple[str, str]] = []

    def __call__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None) -> Completed:
        program = "pip" if "pip" in argv[1:3] and not argv[0].endswith("/uv") else Path(argv[0]).name
        python_path = (env or {}).get("PYTHONPATH", "")
        self.calls.append((program, python_path))
        answer = self.answers[program.replace("-", "_")]
        return answer if isinstance(answer, Completed) else answer(argv, python_path)

    def programs(self) -> list[str]:
        return [program for program, _ in self.calls]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install with a fake `run`, on a machine that has the programs of the answers and no others."""

    def act(run: FakeRun) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in run.answers:
            (folder / name.replace("_", "-")).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(folder))
        (tmp_path / "target").mkdir()
        packages.install(tmp_path / "lock", tmp_path / "target", workdir=tmp_path, run=run)

    return act


def test_uv_is_enough(install: Callable[..., None]) -> None:
    run = FakeRun(uv=DONE)
    install(run)

    assert run.programs() == ["uv"]


def test_after_a_uv_that_fails_pip_is_tried(install: Callable[..., None]) -> None:
    run = FakeRun(uv=Completed((), 2, ("error: no such index",)), pip=DONE)
    install(run)

    assert run.programs() == ["uv", "pip"]


def test_a_pip_that_fails_is_final(install: Callable[..., None]) -> None:
    run = FakeRun(pip=Completed((), 1, ("ERROR: No matching distribution found for rich==15.0.0",)))

    with pytest.raises(InstallError) as caught:
        install(run)

    assert caught.value.code == "runtime-no-package"
    assert run.programs() == ["pip"]


def test_without_pip_the_distributions_package_of_it_is_unpacked_and_used(
    install: Callable[..., None], tmp_path: Path
) -> None:
    def download(argv: Sequence[str], _path: str) -> Completed:
        if argv[-2] == "download":
            (tmp_path / "apt/downloads/pip.deb").touch()
        return Completed((), 0)

    def unpack(argv: Sequence[str], _path: str) -> Completed:
        wheel = Path(argv[-1], "usr/share/python-wheels/pip-23.0.1-py3-none-any.whl")
        wheel.parent.mkdir(parents=True)
        wheel.touch()
        return Completed((), 0)

    def pip(_argv: Sequence[str], path: str) -> Completed:
        return DONE if path.startswith(str(tmp_path)) else NO_PIP

    run = FakeRun(pip=pip, apt_get=download, dpkg_deb=unpack)
    install(run)

    assert run.programs()[-4:] == ["apt-get", "apt-get", "dpkg-deb", "pip"]


def test_without_pip_and_network_the_network_is_named(install: Callable[..., None]) -> None:
    with pytest.raises(InstallError) as caught:
        install(FakeRun(pip=NO_PIP, apt_get=OFFLINE, dpkg_deb=DONE))

    assert (caught.value.code, caught.value.exit_code) == ("runtime-network", ExitCode.PREFLIGHT_FAILED)
    assert caught.value.evidence.startswith("apt-get said: ")


def test_without_pip_and_apt_pip_is_named(install: Callable[..., None]) -> None:
    with pytest.raises(InstallError) as caught:
        install(FakeRun(pip=NO_PIP))

    assert caught.value.code == "runtime-no-pip"


def test_a_uv_that_failed_is_what_is_told_where_there_is_no_pip(install: Callable[..., None]) -> None:
    with pytest.raises(InstallError) as caught:
        install(FakeRun(uv=Completed((), 2, ("  Caused by: dns error",)), pip=NO_PIP))

    assert caught.value.code == "runtime-network"
    assert caught.value.evidence.startswith("uv said: ")


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("OSError: [Errno 28] No space left on device", "runtime-disk-full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "runtime-hash-mismatch"),
        ("  x Failed to download `rich==15`\n  ╰─▶ Hash mismatch for `rich==15`", "runtime-hash-mismatch"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "runtime-certificate"),
        ("('Cannot connect to proxy.', OSError('Tunnel connection failed: 407", "runtime-proxy"),
        ("401 Client Error: Unauthorized for url", "runtime-proxy"),
        ("[Errno -3] Temporary failure in name resolution\nERROR: No matching distribution", "runtime-network"),
        ("error: Request failed after 3 retries\n  Caused by: tcp connect: Connection refused", "runtime-network"),
        ("ReadTimeoutError: Read timed out.", "runtime-network"),
        ("ERROR: Could not find a version that satisfies the requirement x", "runtime-no-package"),
        ("ERROR: something new\nand its consequences", "runtime-failed"),
        ("", "runtime-failed"),
    ],
)
def test_what_an_installer_said_is_told_by_its_cause(output: str, code: str) -> None:
    error = explain("pip", output)

    assert (error.code, error.exit_code) == (code, ExitCode.PREFLIGHT_FAILED)
    assert error.evidence


def test_a_long_line_is_shown_where_it_tells_something() -> None:
    line = f"WARNING: Retrying {'(' * 500} Failed to establish a new connection: [Errno 111] Connection refused"

    assert explain("pip", line).evidence.endswith("[Errno 111] Connection refused")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "runtime-disk-full"),
        (errno.EROFS, "runtime-not-writable"),
        (errno.EACCES, "runtime-not-writable"),
        (errno.ENOTDIR, "runtime-folder"),
    ],
)
def test_what_the_system_said_is_told_by_its_cause(number: int, code: str) -> None:
    error = explain_os_error(OSError(number, "said so", "/home/joe/.contextcore"), Path("/with {braces}"))

    assert (error.code, error.evidence) == (code, "/home/joe/.contextcore: said so")


def test_only_pins_for_this_system_are_counted(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        "rich==15.0.0 \\\n    --hash=sha256:00\n    # via x==1\ncolorama==0.4 ; sys_platform == 'win32' \\\n"
    )

    assert packages.pins(lock) == [("rich", "15.0.0")]


@pytest.fixture
def installed(tmp_path: Path) -> tuple[Path, Path]:
    """Return a lock file and a folder with the one package that it pins."""
    lock, folder = tmp_path / "lock", tmp_path / "packages"
    lock.write_text("a-package==1.0 \\\n    --hash=sha256:00\n")
    info = folder / "A_Package-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "a,b.py").write_text("pass\n")
    digest = urlsafe_b64encode(sha256(b"pass\n").digest()).decode().rstrip("=")
    rows = f'"a,b.py",sha256={digest},5\n../../bin/x,sha256=0,1\na.pyc,,\nA_Package-1.0.dist-info/RECORD,,\n'
    (info / "RECORD").write_text(rows)
    return lock, folder


def test_a_package_that_is_as_it_was_installed_is_whole(installed: tuple[Path, Path]) -> None:
    assert list(packages.damaged_files(*installed)) == []


@pytest.mark.parametrize("content", [None, b"", b"pass", b"pasS\n", b"\xff\0", b"pass\npass\n"])
@pytest.mark.parametrize("name", ["a,b.py", "A_Package-1.0.dist-info/RECORD"])
def test_a_file_of_a_package_that_is_missing_or_changed_is_found(
    installed: tuple[Path, Path], name: str, content: bytes | None
) -> None:
    path = installed[1] / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert list(packages.damaged_files(*installed)) == [path]


def test_a_package_that_is_gone_with_its_list_of_files_is_found(installed: tuple[Path, Path]) -> None:
    shutil.rmtree(installed[1])

    assert list(packages.damaged_files(*installed)) == [installed[1] / "a-package-1.0.dist-info"]
