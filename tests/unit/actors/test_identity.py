"""Who may speak to whom: the header of every message between nodes."""

from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from zraft.actors.identity import ROUTES_MAX, Identity, Routes, check_hello, seal, unsealed
from zraft.errors import ProtocolError
from zraft.protocol.codec import encode, peer_header
from zraft.protocol.entries import Configuration, Member
from zraft.protocol.peer import HEADER_BYTES_MAX, PEER_VERSION, PeerHeader

A, B, C, STRANGER = 0xA, 0xB, 0xC, 0xD
CLUSTER = b"0123456789abcdef"
MEMBERS = Configuration(0, (Member(A, "node-1"), Member(B, "node-2"), Member(C, "node-3", voter=False)))
OURS, THEIRS = 111, 222
MESSAGE = encode([6, 4, 7])


@pytest.fixture
def identity() -> Identity:
    return Identity(A, CLUSTER, MEMBERS, OURS)


def header(
    version: int = PEER_VERSION, cluster: bytes = CLUSTER, sender: int = B, target: int = A, incarnation: int = THEIRS
) -> PeerHeader:
    return PeerHeader(version, cluster, sender, target, incarnation)


def test_a_request_carries_our_incarnation_and_an_answer_the_askers(identity: Identity) -> None:  # S1
    request, answer = identity.header_to(B), identity.header_to(B, THEIRS)
    assert request == unsealed(header(sender=A, target=B, incarnation=OURS))
    assert answer == unsealed(header(sender=A, target=B))


def test_a_message_for_us_is_heard_whatever_its_incarnation_and_whether_or_not_its_sender_is_known_here(
    identity: Identity,
) -> None:
    for one in (header(), header(sender=C, incarnation=0), header(incarnation=OURS), header(sender=STRANGER)):
        assert identity.check(encode(one), MESSAGE) == one
        assert identity.check(*seal(unsealed(one), MESSAGE)) == peer_header.decode(seal(unsealed(one), MESSAGE)[0])


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (header(version=2), "peer protocol 2, this node speaks 1: upgrade one of them"),
        (header(cluster=b"another"), f"message of cluster {b'another'.hex()}, this is {CLUSTER.hex()}"),
        (header(target=B), "message for member 000000000000000b, this is 000000000000000a"),
        (header(target=0), "message for member 0000000000000000, this is 000000000000000a"),
        (header(sender=0), "message in the name of member 0, which is nobody"),
        (header(sender=A), "message in the name of member 000000000000000a, which is this node"),
    ],
    ids=["version", "cluster", "target", "nobody", "of nobody", "ourselves"],
)
def test_any_other_message_is_refused_with_the_reason(identity: Identity, frame: PeerHeader, reason: str) -> None:
    for head in (encode(frame), seal(unsealed(frame), MESSAGE)[0]):
        with pytest.raises(ProtocolError) as refusal:
            identity.check(head, MESSAGE)
        assert str(refusal.value) == reason


@given(data=st.data(), message=st.binary(min_size=1, max_size=40))
@pytest.mark.parametrize("check", [Identity(A, CLUSTER, MEMBERS, OURS).check, check_hello], ids=["member", "hello"])
def test_a_message_with_a_bit_that_was_flipped_on_its_way_is_refused(
    check: Callable[[bytes, bytes], PeerHeader], data: st.DataObject, message: bytes
) -> None:
    head, _ = seal(unsealed(header()), message)
    check(head, message)
    damaged = bytearray(head + message)
    place = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[place // 8] ^= 1 << place % 8
    with pytest.raises(ProtocolError):
        check(bytes(damaged[: len(head)]), bytes(damaged[len(head) :]))


def test_a_message_is_taken_without_a_checksum_as_nodes_of_0_1_0_send_it(identity: Identity) -> None:
    fields = [PEER_VERSION, CLUSTER, B, A, THEIRS]
    assert identity.check(encode(fields), MESSAGE) == header()


def test_an_answer_to_another_incarnation_is_dropped(identity: Identity) -> None:  # S1
    mine, late = header(incarnation=OURS), header(incarnation=OURS + 1)
    assert identity.check_answer(encode(mine), MESSAGE) == mine
    with pytest.raises(ProtocolError, match="answer to incarnation 0000000000000070, which is gone"):
        identity.check_answer(encode(late), MESSAGE)


def test_a_header_with_fields_of_a_later_version_is_taken_up_to_its_bound(identity: Identity) -> None:
    """What is refused is shown in the log."""
    fields = [PEER_VERSION, CLUSTER, B, A, THEIRS, None]
    room = HEADER_BYTES_MAX - len(encode(fields)) - len(encode(bytes(HEADER_BYTES_MAX - 100))) + HEADER_BYTES_MAX - 100
    largest, larger = (encode([*fields, bytes(size)]) for size in (room, room + 1))
    assert len(largest) == HEADER_BYTES_MAX
    for check in (identity.check, check_hello):
        assert check(largest, MESSAGE) == header()
        with pytest.raises(ProtocolError, match="a header has up to 256 bytes, this one has 257"):
            check(larger, MESSAGE)


def test_an_answer_goes_where_the_last_request_of_its_member_came_from() -> None:
    routes = Routes()
    assert routes.to(B) == (b"", 0)
    for incarnation, route in ((THEIRS, b"1"), (OURS, b"2")):
        routes.note(header(incarnation=incarnation), route)
        assert routes.to(B) == (route, incarnation)


def test_so_many_strangers_may_ask_and_who_asks_again_is_not_forgotten() -> None:
    routes = Routes()
    for stranger in range(100, 100 + 3 * ROUTES_MAX):
        routes.note(header(sender=B), b"member")
        routes.note(header(sender=stranger), b"stranger")
    assert routes.to(B) == (b"member", THEIRS)
    known = [stranger for stranger in range(100, 100 + 3 * ROUTES_MAX) if routes.to(stranger) != (b"", 0)]
    assert len(known) == ROUTES_MAX - 1


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_header_for_us_or_a_protocol_error(frame: bytes) -> None:
    identity = Identity(A, CLUSTER, MEMBERS, OURS)
    with pytest.raises(ProtocolError):
        identity.check(frame, MESSAGE)


def test_names_lead_to_addresses(identity: Identity) -> None:
    assert [identity.name_of(member) for member in (A, B, STRANGER)] == ["node-1", "node-2", ""]


def test_what_is_remembered_is_bounded(identity: Identity) -> None:
    for incarnation in range(3_000):
        identity.header_to(B, incarnation)
    remembered = [len(value) for value in vars(identity).values() if isinstance(value, dict)]
    assert max(remembered) < 2_000
