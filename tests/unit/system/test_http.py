from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from contextcore_install.core.errors import InstallError
from contextcore_install.system.http import KEEP_BYTES, LoopbackHttp

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Make servers that do with a connection what the test says; give their URLs."""
    listeners: list[socket.socket] = []

    def make(reply: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65_536)
                        reply(connection)
                    except OSError:
                        pass

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/ready"

    yield make
    for listener in listeners:
        listener.close()


def answer(text: str) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(text.encode())


def code_of(url: str, timeout_s: float = 0.5) -> str:
    with pytest.raises(InstallError) as caught:
        LoopbackHttp().get(url, timeout_s)
    assert caught.value.retryable
    assert url in caught.value.message
    return caught.value.code


def test_an_answer_is_returned_whatever_its_status(serve: Serve) -> None:
    url = serve(answer("HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\nnot ready"))
    got = LoopbackHttp().get(url, 2)
    assert (got.status, got.text) == (503, "not ready")


def test_a_redirect_is_not_followed(serve: Serve) -> None:
    url = serve(answer("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"))
    assert LoopbackHttp().get(url, 2).status == 302


def test_a_long_answer_is_cut(serve: Serve) -> None:
    url = serve(answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + "x" * 1_000_000))
    assert len(LoopbackHttp().get(url, 2).text) == KEEP_BYTES


def test_a_proxy_of_the_environment_is_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    url = serve(answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert LoopbackHttp().get(url, 2).text == "ok"


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert code_of(f"http://127.0.0.1:{port}/ready") == "http-refused"


def test_no_answer_in_time(serve: Serve) -> None:
    assert code_of(serve(lambda _: time.sleep(2))) == "http-timeout"


def test_an_answer_that_trickles_is_no_answer(serve: Serve) -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(300):
            connection.sendall(b"x")
            time.sleep(0.1)

    began = time.monotonic()
    assert code_of(serve(trickle)) == "http-timeout"
    assert time.monotonic() - began < 20


def test_a_connection_that_breaks(serve: Serve) -> None:
    assert code_of(serve(lambda _: None)) == "http-reset"


def test_something_else_listens(serve: Serve) -> None:
    assert code_of(serve(answer("SSH-2.0-OpenSSH_9.2p1\r\n"))) == "http-not-http"
