"""What a node shows over HTTP: ``/health``, ``/health/live``, ``/health/ready``, ``/status`` and ``/metrics``.

*Live* says that the supervisor answers, and nothing else: a cluster without a leader, a node in a crash loop and one
with a failed disk are alive, as a restart of the whole would only hide their trouble. *Ready* says that requests
should come here. ``/health`` tells both, with the status code of the latter.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from zraft.actors.logs import Logger
from zraft.config import not_bound

CONNECTIONS_MAX = 64
"""Past it the oldest connection is closed: whoever holds connections open keeps no health check out."""
RECEIVE_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.1

Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""
Resource = Callable[[], Answer]


def as_json(content: Mapping[str, object], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """An answer in JSON."""
    return status, "application/json", json.dumps(content, ensure_ascii=False).encode() + b"\n"


def health(node: str, why_not_ready: Callable[[], str]) -> dict[str, Resource]:
    """The health resources. ``why_not_ready`` gives the reason in words, or nothing when the node is ready."""

    def live() -> Answer:
        return as_json({"node": node, "live": True})

    def ready() -> Answer:
        reason = why_not_ready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
        return as_json({"node": node, "live": True, "ready": not reason, "reason": reason}, status)

    return {"/health": ready, "/health/live": live, "/health/ready": ready}


class HttpServer:
    """Serves a few resources from threads of its own."""

    def __init__(self, host: str, port: int, resources: Mapping[str, Resource], logger: Logger) -> None:
        """Binds at once; requests are served from ``start`` on.

        Raises:
            ConfigurationError: the address can't be bound.
        """
        try:
            self._server = _Server("" if host == "*" else host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise not_bound("http_port", f"{host}:{port}", error.errno or 0, reason) from None
        self._server.set_app(_Application(resources, logger))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, name="http", daemon=True
        )

    def start(self) -> None:
        """Serves until ``close``."""
        self._thread.start()

    def close(self) -> None:
        """Stops, without waiting for requests that are under way."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Application:
    """The WSGI application: resources by path, GET and HEAD only."""

    def __init__(self, resources: Mapping[str, Resource], logger: Logger) -> None:
        self._resources = resources
        self._logger = logger

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        method: str = environ["REQUEST_METHOD"]
        status, content_type, body = self._answer(method, environ["PATH_INFO"])
        headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        start_response(f"{status.value} {status.phrase}", headers)
        return [] if method == "HEAD" else [body]

    def _answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return as_json({"error": f"{method} is not allowed here"}, HTTPStatus.METHOD_NOT_ALLOWED)
        resource = self._resources.get(path)
        if resource is None:
            return as_json({"error": "not found", "paths": sorted(self._resources)}, HTTPStatus.NOT_FOUND)
        try:
            return resource()
        except Exception as error:
            self._logger.every(10, "an HTTP request failed", path=path, error=repr(error))
            return as_json({"error": "internal error: see the node's log"}, HTTPStatus.INTERNAL_SERVER_ERROR)


class _Handler(WSGIRequestHandler):
    """One request a connection."""

    timeout = RECEIVE_TIMEOUT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """No access log."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread a connection, and a bounded number of them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: dict[socket.socket, None] = {}  # oldest first
        self._changing = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks DNS for the host's full name, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            oldest = next(iter(self._open)) if len(self._open) >= CONNECTIONS_MAX else None
            if oldest is not None:
                del self._open[oldest]
                _shut(oldest)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or fell silent is no event."""


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # its other end was quicker
        connection.shutdown(socket.SHUT_RDWR)
