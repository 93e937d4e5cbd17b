"""A signal ends what takes away before anything is taken away."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextcore_install.cli.settings import parse
from contextcore_install.commands import delete, repair, restore, rollback
from contextcore_install.runtime.app import App
from contextcore_install.storage.home import Home, make_home, make_private
from contextcore_install.system.clock import SystemClock
from kit.fakes import FakeProvider


def app(folder: Path, *words: str) -> App:
    streams = io.StringIO(), io.StringIO(), io.StringIO()
    settings = parse([*words, "--yes", "--cluster", "test"], {}, "./create-cluster.sh")
    made = App(settings, {"HOME": str(folder), "PATH": ""}, Home(folder / "home"), *streams, SystemClock())
    make_home(made.home)
    make_private(made.layout.folder)
    return made


def asked_to_end(*_: Any, **__: Any) -> Any:
    """Stand for work that is done when the signal comes, and does not look whether it is to end."""
    os.kill(os.getpid(), signal.SIGTERM)
    return SimpleNamespace(path="backup.tar.gz", words="", cluster="test")


ENDED: dict[str, tuple[Any, str, Callable[[App], object], tuple[str, ...]]] = {
    "rollback": (rollback, "make_backup", rollback.run, ("rollback",)),
    "restore": (restore, "_unpack", restore.run, ("restore", "backup.tar.gz")),
    "delete": (delete, "make_backup", delete.run, ("delete", "--backup")),
    "repair": (repair, "make_backup", lambda app: repair._make_room(app, LOST), ("--repair",)),
}
LOST: Any = {"cluster_create": SimpleNamespace(problems=[SimpleNamespace(code=repair.BEYOND_REPAIR)])}


@pytest.mark.parametrize("what", ENDED)
def test_a_signal_while_it_prepares_ends_it_with_nothing_destroyed(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, work, run, words = ENDED[what]
    provider = FakeProvider()
    installation = SimpleNamespace(provider=provider, plan=lambda _: None, shipper=lambda _: None)
    destroyed: list[str] = []
    for name, instead in {
        work: asked_to_end,
        "resolve": lambda *_: installation,
        "resolve_what_runs": lambda *_: installation,
        "with_installation": lambda *_: None,
        "select": lambda *_: None,
        "_show": lambda *_: None,
        "volumes_of": lambda *_: (),
        "_on_provider": lambda app, _: app,
        "steps_to_undo": lambda *_: ("cluster_create",),
        "_loses_data": lambda _: True,
        "_archived_state": lambda *_: None,
        "_confirm": lambda *_: None,
        **{name: lambda *_, name=name, **__: destroyed.append(name) for name in ("end_service", "begin", "carry_out")},
    }.items():
        monkeypatch.setattr(module, name, instead, raising=False)
    monkeypatch.setattr("contextcore_install.runtime.backing_up.make_backup", asked_to_end)
    place = app(tmp_path, *words)
    with pytest.raises(KeyboardInterrupt):
        run(place)
    assert (destroyed, provider.calls.count("remove_cluster")) == ([], 0)
    assert place.layout.folder.is_dir()
