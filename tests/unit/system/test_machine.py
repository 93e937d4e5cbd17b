from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil

from contextcore_install.system import machine
from kit.stores import wait_until


def test_a_boot_has_one_id() -> None:
    assert machine.boot_id()
    assert machine.boot_id() == machine.boot_id()


def test_a_start_time_is_fixed_and_differs_from_a_later_ones() -> None:
    own = machine.start_time(os.getpid())
    assert own is not None
    assert own == machine.start_time(os.getpid())
    with subprocess.Popen(["sleep", "300"]) as later:
        started = machine.start_time(later.pid)
        assert started is not None
        assert started > own
        later.kill()
    assert machine.start_time(later.pid) is None


def test_a_listener_is_found_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = machine.listener(port)
        assert found is not None
        assert found.pid == os.getpid()
        assert machine.listens(os.getpid(), port) or not machine.LINUX
        assert not machine.listens(os.getppid(), port)
    assert machine.listener(port) is None
    assert not machine.listens(os.getpid(), port)


def test_the_ways_without_proc_agree() -> None:
    variable, value = "CONTEXTCORE_TEST_MARK", str(os.getpid())
    environ = {**os.environ, variable: value}
    with subprocess.Popen(["sleep", "30"], env=environ, start_new_session=True) as marked:
        # Popen goes on as soon as the child's old memory is gone, which is before its new environment can be read.
        wait_until(lambda: list(machine.marked_processes(variable, value)) == [marked.pid], limit_s=20)
        for has_proc in {machine.LINUX, False}:
            assert list(machine.marked_processes(variable, value, has_proc=has_proc)) == [marked.pid]
            assert machine.start_time(marked.pid, has_proc=has_proc) is not None
            with socket.create_server(("127.0.0.1", 0)) as server:
                holder = machine.listener(server.getsockname()[1], has_proc=has_proc)
                assert holder is not None
                assert holder.pid == os.getpid()
        marked.kill()
        marked.wait()
        assert all(machine.start_time(marked.pid, has_proc=has_proc) is None for has_proc in {machine.LINUX, False})


def test_descent_is_known() -> None:
    script = "import subprocess, time; p = subprocess.Popen(['sleep', '9']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert machine.descends_from(child, parent.pid)
        assert machine.descends_from(parent.pid, parent.pid)
        assert not machine.descends_from(os.getpid(), parent.pid)
        psutil.Process(child).kill()


def test_memory_is_what_psutil_says() -> None:
    said = psutil.virtual_memory().available
    assert abs(machine.available_memory() - said) < said / 4
