from pathlib import Path

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.storage.home import STATE_FILE, Home, make_home


@pytest.mark.parametrize("name", [STATE_FILE, f".{STATE_FILE}.4711.link"])
def test_the_link_to_the_latest_state_is_ours_and_so_is_a_new_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("clusters/a/install-state.json")
    make_home(Home(tmp_path))


@pytest.mark.parametrize(
    "name", ["4711", "4711.link", f".{STATE_FILE}.4711", f".{STATE_FILE}.link", f".{STATE_FILE}..link", "bin"]
)
def test_any_other_link_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/tmp")
    with pytest.raises(InstallError, match="it is a link, which this program did not make"):
        make_home(Home(tmp_path))
