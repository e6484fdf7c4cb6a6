"""The HTTP server: what it answers, and that nobody can keep it from answering."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from tests.waiting import wait_until
from zraft.actors.http import CONNECTIONS_MAX, Answer, HttpServer, as_json, health
from zraft.actors.logs import Logger
from zraft.errors import ConfigurationError


class Ports:
    reason = ""

    def why(self) -> str:
        return self.reason


def broken() -> Answer:
    raise ValueError("no")


@pytest.fixture
def ports() -> Ports:
    return Ports()


@pytest.fixture
def port(ports: Ports) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    resources = health("node-1", ports.why) | {"/status": lambda: as_json({"é": 1}), "/broken": broken}
    server = HttpServer("127.0.0.1", port, resources, Logger("node-1", "supervisor"))
    server.start()
    yield port
    server.close()


def ask(port: int, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_readiness_tells_why_not(port: int, ports: Ports) -> None:
    ports.reason = "no leader is known"
    body = b'{"node": "node-1", "live": true, "ready": false, "reason": "no leader is known"}\n'
    for path in ("/health", "/health/ready"):
        status, headers, content = ask(port, path)
        assert (status, headers["Content-Type"], content) == (503, "application/json", body)


def test_liveness_never_fails_for_what_a_restart_would_not_mend(port: int, ports: Ports) -> None:
    ports.reason = "a commit of the log failed"
    assert ask(port, "/health/live")[0] == 200


def test_a_query_does_not_change_the_path(port: int) -> None:
    assert ask(port, "/status?verbose=1")[2] == '{"é": 1}\n'.encode()


def test_head_has_the_length_and_no_body(port: int) -> None:
    status, headers, content = ask(port, "/status", "HEAD")
    assert (status, headers["Content-Length"], content) == (200, "10", b"")


def test_only_reading_is_allowed(port: int) -> None:
    status, headers, _ = ask(port, "/status", "POST")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_an_unknown_path_is_told_what_there_is(port: int) -> None:
    status, _, content = ask(port, "/metric")
    assert status == 404
    assert b"/health/live" in content


def test_a_failing_resource_is_an_error_of_the_server_alone(port: int) -> None:
    assert ask(port, "/broken")[0] == 500
    assert ask(port, "/status")[0] == 200


def test_nonsense_is_answered_or_cut_off(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.0\r\n\r\n",
        b"",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass
    assert ask(port, "/status")[0] == 200
    assert capfd.readouterr().err == ""


def test_idle_connections_keep_no_request_out(port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(2 * CONNECTIONS_MAX)]
    try:
        assert wait_until(lambda: ask(port, "/health/live")[0], 5, "an answer") == 200
        assert idle[0].recv(1) == b""
    finally:
        for connection in idle:
            connection.close()


def test_a_star_is_every_address_as_it_is_to_zeromq() -> None:
    server = HttpServer("*", 0, health("node-1", lambda: ""), Logger("node-1", "supervisor"))
    server.close()


def test_a_taken_port_is_told_at_once(port: int) -> None:
    with pytest.raises(ConfigurationError, match=f"^http_port: can't listen on 127.0.0.1:{port}: .* in use; choose an"):
        HttpServer("127.0.0.1", port, {}, Logger("node-1", "supervisor"))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_not_blamed_on_the_port(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"can't listen on {host}:0: .*; host must be an address of this"):
        HttpServer(host, 0, {}, Logger("node-1", "supervisor"))
