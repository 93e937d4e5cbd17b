"""What a backup holds beside volumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from kit.installed_records import write_records
from kit.stores import Misbehaving, answer

BACKS_UP = """\
import codecs, locale, sys
from pathlib import Path
from kit.fakes import FakeProvider
from kit.installed_records import make_backup
provider = FakeProvider()
provider.urls["grafana"], provider.kept.secret = sys.argv[2], "word"
make_backup(Path(sys.argv[1]), create_provider=lambda *_: provider)
print(codecs.lookup(locale.getpreferredencoding(False)).name)
"""
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_what_people_wrote_in_grafana_is_kept_in_utf_8_whatever_it_is(
    tmp_path: Path, misbehaving: Callable[..., Misbehaving]
) -> None:
    dashboard = {"title": "schön \udcff 😀"}

    def grafana(_: Misbehaving, handler: BaseHTTPRequestHandler) -> None:
        is_search, is_dashboard = (handler.path.startswith(f"/api/{name}") for name in ("search", "dashboards/uid/a"))
        answer(handler, 200, json.dumps([{"uid": "a"}] if is_search else dashboard if is_dashboard else []))

    write_records(tmp_path)
    environ = {**os.environ, **ASCII, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", BACKS_UP, str(tmp_path), misbehaving(grafana).url]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "ascii\n"), done.stderr
    with tarfile.open(tmp_path / "kept.tar.gz") as tar:
        kept = tar.extractfile("grafana/dashboards.json")
        assert kept
        assert json.loads(kept.read()) == [dashboard]
