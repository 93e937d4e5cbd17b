import os
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import pytest

from contextcore_install.bootstrap import CheckedLoader
from contextcore_install.core.tables import kept, read_table


def test_a_table_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('limit = inf\n[[rule]]\nid = "a"\nwhen = { below = 0.5, of = ["x", "y"] }\n', encoding="utf-8")
    expected = {"limit": inf, "rule": [{"id": "a", "when": {"below": 0.5, "of": ["x", "y"]}}]}
    assert read_table(path) == expected
    read_table(path)["rule"].clear()
    assert read_table(path) == expected
    path.write_text('limit = "ü"\n', encoding="utf-8")
    assert read_table(path) == {"limit": "ü"}


def test_a_table_and_a_module_of_one_name_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "causes.py").write_text("table = 1\n", encoding="utf-8")
    (tmp_path / "causes.toml").write_text("a = 1\n", encoding="utf-8")
    assert read_table(tmp_path / "causes.toml") == {"a": 1}
    assert read_table(tmp_path / "causes.toml") == {"a": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_table_is_read_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = 1\n", encoding="utf-8")
    tmp_path.chmod(0o500)
    assert read_table(tmp_path / "a.toml") == {"a": 1}


def test_a_table_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "gone.toml")


def test_what_is_kept_is_made_once_until_one_of_its_files_changes(tmp_path: Path) -> None:
    made: list[object] = []
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("a")
    second.write_text("b")

    def value() -> object:
        made.append(kept(tmp_path / "value", [first, second], lambda: [first.read_text(), str(len(made))]))
        return made[-1]

    assert [value(), value()] == [["a", "0"], ["a", "0"]]
    first.write_text("changed")
    assert [value(), value()] == [["changed", "2"], ["changed", "2"]]


def test_several_threads_may_keep_the_same_table(tmp_path: Path) -> None:
    target, value = tmp_path / "rules.pyc", b"x" * 100_000
    loader = CheckedLoader("rules", str(tmp_path / "rules.py"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: loader.set_data(str(target), value), range(400)))
    assert loader.get_data(str(target)).startswith(value)
    assert list(tmp_path.iterdir()) == [target]
