"""HTTP/1.1 with keep-alive for the REST side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
import h11
import trio

__all__ = ["HttpReply", "HttpRequest", "serve_http"]

_HEAR_OUT_S = 1.0
_LARGEST_BODY = 1024 * 1024


@attrs.frozen
class HttpRequest:
    """One request; header names are lower case."""

    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen
class HttpReply:
    """One reply of JSON."""

    status: int
    body: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)


Respond = Callable[[HttpRequest], Awaitable[HttpReply | None]]


async def serve_http(stream: trio.abc.Stream, respond: Respond) -> None:
    """Answer one request after the other until the client is done or speaks no HTTP.

    Args:
        stream: the connection; it is left open.
        respond: makes the reply; None ends the connection without one.
    """
    connection = h11.Connection(h11.SERVER)
    while True:
        try:
            request = await _next_request(stream, connection)
        except h11.RemoteProtocolError as error:
            if connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await _send(stream, connection, HttpReply(error.error_status_hint, b"{}"))
                await _hear_out(stream)
            return
        if request is None:
            return
        reply = await respond(request)
        if reply is None:
            return
        await _send(stream, connection, reply, is_head=request.method == "HEAD")
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _next_request(stream: trio.abc.Stream, connection: h11.Connection) -> HttpRequest | None:
    """Read a whole request; None when the client has gone."""
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65_536)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _LARGEST_BODY:
                raise h11.RemoteProtocolError("body too large", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _request(head, body)
        else:
            return None


def _request(head: h11.Request, body: bytes) -> HttpRequest:
    path, _, query = bytes(head.target).partition(b"?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return HttpRequest(head.method.decode("ascii"), path.decode("latin-1"), query, headers, body)


async def _send(
    stream: trio.abc.Stream, connection: h11.Connection, reply: HttpReply, *, is_head: bool = False
) -> None:
    """Send a reply; one to HEAD says how long its body would be, and has none."""
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(reply.body))),
        *reply.headers.items(),
    ]
    data = connection.send(h11.Response(status_code=reply.status, headers=headers)) or b""
    data += connection.send(h11.Data(data=b"" if is_head else reply.body)) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    await stream.send_all(data)


async def _hear_out(stream: trio.abc.Stream) -> None:
    """Read what the client still sends, for a while: closing before that would reset our last reply away."""
    with trio.move_on_after(_HEAR_OUT_S):
        while await stream.receive_some(65_536):
            continue
