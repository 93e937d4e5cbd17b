"""What each command imports: a start is as quick as what it loads is little."""

from __future__ import annotations

import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from kit.installation import Installation

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
BUDGETS = tomllib.loads((GOLDEN / "modules.toml").read_text(encoding="utf-8"))
LIBRARIES = ("apprise", "cryptography", "minisign", "psutil", "shtab", "urllib3")
DEAR = (
    *("asyncio", "concurrent.futures", "dataclasses", "email.parser", "hashlib", "http.client", "inspect", "logging"),
    *("multiprocessing", "platform", "shutil", "socket", "ssl", "subprocess", "tarfile", "tempfile", "threading"),
    *("tomllib", "typing", "unittest", "xml.etree", "zipfile"),
)
"""Of the standard library, those that take longer to load than most of ours."""
WATCHED = (*LIBRARIES, *DEAR)
OURS = "contextcore_install."

LAUNCHER = """\
import sys
from contextcore_install.__main__ import main
code = main()
with open(f"{sys.argv[0]}.modules", "w") as file:
    file.write("\\n".join(sys.modules))
raise SystemExit(code)
"""


@pytest.fixture
def recorded(tmp_path: Path) -> Installation:
    """An installation without processes, whose program notes what it imported."""
    return noting(Installation(tmp_path, "o11y-dev"))


def lay_records(installation: Installation) -> None:
    shutil.rmtree(installation.files, ignore_errors=True)  # some commands take them away
    installation.files.mkdir(parents=True, mode=0o700)
    for name in ("install-state.json", "journal.jsonl", "cursors.json"):
        shutil.copy(GOLDEN / "home" / name, installation.files / name)


def noting(installation: Installation) -> Installation:
    Path(installation.command()[2]).write_text(LAUNCHER, encoding="utf-8")
    return installation


def check_budget(installation: Installation, name: str) -> None:
    """Fail for more modules than the command may load, with those that it did not use to."""
    listed = Path(f"{installation.command()[2]}.modules").read_text(encoding="utf-8").split()
    watched = [each for each in listed if each in WATCHED or each.startswith(OURS)]
    loaded = {each.replace(OURS, ".", 1) for each in watched}
    budget = BUDGETS[name]
    new = sorted(loaded - set(budget["known"].split()))
    text = (
        f"`{name}` loads {len(loaded)} of the watched modules and may load {budget['most']}; new are: {', '.join(new)}"
    )
    assert len(loaded) <= budget["most"], f"{text}. Import late, or change tests/golden/modules.toml"


@pytest.mark.parametrize("name", [name for name in BUDGETS if name != "nothing to do"])
def test_a_command_loads_no_more_than_it_may(recorded: Installation, name: str) -> None:
    for _ in ("to keep what is made once, as tables and completions are", "to measure"):
        lay_records(recorded)
        done = recorded.run(*name.split())
        assert done.returncode == 0, done.stderr
    check_budget(recorded, name)


@pytest.mark.parametrize("name", BUDGETS)
def test_what_a_command_is_known_to_load_exists_and_fills_its_budget(name: str) -> None:
    known = BUDGETS[name]["known"].split()
    assert len(set(known)) == BUDGETS[name]["most"]
    files = [OURS.rstrip(".") + each for each in known if each.startswith(".")]
    assert not [each for each in files if find_spec(each) is None]
    assert {each for each in known if not each.startswith(".")} <= set(WATCHED)


def test_a_run_with_nothing_to_do_loads_no_more_than_it_may(installation: Installation) -> None:
    assert installation.install().returncode == 0
    done = noting(installation).install()
    assert "nothing had to be done" in done.stdout, done.stdout
    check_budget(installation, "nothing to do")
