"""Our reading of WebSocket frames against wsproto's, over any messages, cut anywhere."""

from __future__ import annotations

import asyncio
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from realtime.delivery.websocket import WebSocket

Said = tuple[Literal["part", "ping", "pong"], bytes, bool]
ENCODED = st.text(max_size=300).map(str.encode)


class Sink(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


class Recorded(WebSocket):
    """Keeps what it receives."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(1 << 20)
        self.heard: list[str | bytes] = []
        self.transport = sink

    def text_received(self, text: str) -> None:
        self.heard.append(text)

    def binary_received(self, data: bytes) -> None:
        self.heard.append(data)

    def ended(self) -> None:
        self.heard.append("ended")


def said_by(client: Connection, said: list[Said], *, as_text: bool) -> bytes:
    """The client's bytes; parts follow each other until one is the last."""
    wire = b""
    for kind, payload, is_last in [*said, ("part", b"", True)]:
        if kind == "ping":
            wire += client.send(Ping(payload=payload[:125]))
        elif kind == "pong":
            wire += client.send(Pong(payload=payload[:125]))
        elif as_text:
            wire += client.send(TextMessage(data=payload.decode(), message_finished=is_last))
        else:
            wire += client.send(BytesMessage(data=payload, message_finished=is_last))
    return wire


def read_by(oracle: Connection, wire: bytes) -> tuple[list[str | bytes], bytes]:
    """What wsproto's server hears, and what it answers to pings."""
    oracle.receive_data(wire)
    heard: list[str | bytes] = []
    answers, text, data = b"", "", b""
    for event in oracle.events():
        if isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                heard.append(text)
                text = ""
        elif isinstance(event, BytesMessage):
            data += event.data
            if event.message_finished:
                heard.append(data)
                data = b""
        elif isinstance(event, Ping):
            answers += oracle.send(event.response())
    return heard, answers


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.lists(st.tuples(st.sampled_from(["part", "ping", "pong"]), ENCODED, st.booleans()), max_size=8),
    binary=st.lists(st.tuples(st.just("part"), st.binary(max_size=70_000), st.booleans()), max_size=4),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=8),
)
def test_frames_are_read_as_wsproto_reads_them(text: list[Said], binary: list[Said], sizes: list[int]) -> None:
    client, oracle, sink = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER), Sink()
    wire = said_by(client, text, as_text=True) + said_by(client, binary, as_text=False)
    wire += client.send(CloseConnection(code=1000))
    expected, answers = read_by(oracle, wire)
    ours, at, turn = Recorded(sink), 0, 0
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        ours.data_received(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert oracle.state is ConnectionState.REMOTE_CLOSING
    assert ours.heard == expected
    assert sink.written == answers + b"\x88\x02\x03\xe8"
    assert sink.is_closed
