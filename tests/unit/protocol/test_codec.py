"""Whatever bytes arrive: a message of the channel, or a ``ProtocolError``."""

import contextlib

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from zraft.errors import InvalidArgument, ProtocolError
from zraft.protocol import codec
from zraft.protocol.codec import Channel, encode
from zraft.protocol.peer import Greeting
from zraft.protocol.requests import Put
from zraft.protocol.responses import ErrorResult

CHANNELS = {name: channel for name, channel in vars(codec).items() if isinstance(channel, Channel)}
values = st.recursive(
    st.one_of(st.integers(-(2**63), 2**64 - 1), st.binary(max_size=5), st.none(), st.booleans(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
frames = st.one_of(st.binary(max_size=40), values.map(msgspec.msgpack.encode))


@settings(max_examples=500)
@given(name=st.sampled_from(sorted(CHANNELS)), frame=frames)
def test_any_bytes_are_a_message_or_a_protocol_error(name: str, frame: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        CHANNELS[name].decode(frame)


def test_text_that_is_none_is_a_protocol_error() -> None:
    damaged = encode(Greeting("abcd", "host:1")).replace(b"abcd", b"\xff\xfe\xfd\xfc")
    with pytest.raises(ProtocolError, match=r"undecodable message of 15 bytes: .*(?i:utf-8)"):
        codec.gateways.decode(damaged)
    with pytest.raises(ProtocolError):
        codec.response.decode(encode(ErrorResult("Unknown", "abcd")).replace(b"abcd", b"\xff\xfe\xfd\xfc"))


def test_a_gateway_of_before_has_the_usual_priority() -> None:
    before = msgspec.msgpack.encode([1, "node-1", "host:1"])
    assert codec.gateways.decode(before) == Greeting("node-1", "host:1", priority=1)


def test_depth_and_promised_length_do_no_harm() -> None:
    for bomb in (b"\x91" * 100_000, b"\x92\x03\xdd\xff\xff\xff\xff", b"\x93\x01\xc6\xff\xff\xff\xff"):
        with pytest.raises(InvalidArgument, match="malformed request"):
            codec.decode_request(bomb)


@given(st.lists(st.binary(max_size=3).map(lambda value: Put(b"k", value)), max_size=5))
def test_commands_are_packed_as_they_came(commands: list[Put]) -> None:
    payload = codec.pack_commands([encode(command) for command in commands])
    assert codec.unpack_commands(payload) == commands
    assert codec.split_results(payload) == [encode(command) for command in commands]
