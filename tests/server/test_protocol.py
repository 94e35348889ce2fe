"""Connections on which a request does not come to its end."""

import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from samespace.server import middleware, protocol
from samespace.server.middleware import BodyLimitMiddleware
from samespace.server.services.errors import error_response


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def refused(request: Request, error: Exception):
    return error_response(400, str(error), "invalid_request_error")


@pytest.fixture
def port(monkeypatch):
    """A server that waits half a second for a head, and for a body."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.5)
    routes = [Route("/", length, methods=["GET", "POST"])]
    app = BodyLimitMiddleware(Starlette(routes=routes, exception_handlers={middleware.RequestError: refused}))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol.PromptProtocol, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def answer(connection: socket.socket) -> bytes:
    """What is sent until the connection is closed, or nothing more comes."""
    connection.settimeout(10)
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
    return received


def test_a_head_that_does_not_end_is_cut_off(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert answer(connection) == b""


def test_so_is_the_head_of_a_second_request(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
        connection.sendall(b"GET / HT")
        assert answer(connection).endswith(b"\r\n\r\n0")


def test_a_body_that_does_not_end_is_refused_in_a_sentence(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf")
        assert b"did not arrive within 0.5 seconds; send less" in answer(connection)


def test_what_comes_in_time_is_answered(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nha")
        time.sleep(0.2)
        connection.sendall(b"lf")
        assert answer(connection).endswith(b"\r\n\r\n4")
