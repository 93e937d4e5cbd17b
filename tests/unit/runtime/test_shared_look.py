"""What was looked at is shared: a run works on the installation that was shown, and looks no more than it has to."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contextcore_install.core.dataclass import replace
from contextcore_install.core.errors import ExitCode, InstallError
from contextcore_install.engine.outcome import Outcome, RunResult
from contextcore_install.runtime.installation import resolve
from contextcore_install.runtime.running import RunControl, mend
from contextcore_install.runtime.session import Prepared, open_session
from contextcore_install.storage.store import read_records
from kit.installed_records import SETTINGS, STORY, app, write_records

DONE = RunResult(Outcome.SUCCEEDED)


def test_a_run_works_on_the_installation_that_was_looked_at(tmp_path: Path) -> None:
    write_records(tmp_path)
    asked = app(tmp_path, "--repair")
    seen = resolve(asked, read_records(asked.layout, "test").state)
    with open_session(asked, lambda *_: [], RunControl(), Prepared(installation=seen)) as session:
        assert session.installation is seen


def test_an_installation_that_changed_meanwhile_is_resolved_anew(tmp_path: Path) -> None:
    write_records(tmp_path)
    asked = app(tmp_path, "--repair")
    seen = resolve(asked, read_records(asked.layout, "test").state)
    settings = {**SETTINGS, "ports": {"mimir": 19_009}}
    write_records(tmp_path, [replace(STORY[0], data={**STORY[0].data, "settings": settings}), *STORY[1:]])
    with open_session(asked, lambda *_: [], RunControl(), Prepared(installation=seen)) as session:
        assert session.installation is not seen
        assert session.installation.selection.ports == {"mimir": 19_009}


def test_after_a_run_in_which_nothing_was_done_nothing_is_looked_at_again() -> None:
    session: Any = SimpleNamespace(run=lambda: DONE, applied=[])  # it has no plan that could be checked
    console: Any = None
    assert mend(session, console) is DONE


def test_who_finds_another_machine_at_work_between_two_engines_keeps_the_next_from_beginning() -> None:
    control, engine = RunControl(), SimpleNamespace(run=lambda: DONE)
    lost = InstallError("locked-elsewhere", "another machine acts", exit_code=ExitCode.LOCKED)

    def work() -> RunResult:
        control.lose(lost)
        return control.run(engine)  # type: ignore[arg-type]

    assert control.result_of(work) == RunResult(Outcome.INTERRUPTED, reason="another machine acts")
    assert control.lost is lost


def test_what_is_reported_while_no_engine_runs_is_kept_for_the_last_words() -> None:
    control = RunControl()
    control.report("the store is silent")
    assert control.late_reports == ["the store is silent"]
