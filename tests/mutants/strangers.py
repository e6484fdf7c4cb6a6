"""Defects of what a node believes of messages from the network: whoever reaches a peer port may send them."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "any term is believed",
        "one message with a term at the end of all numbers would leave a cluster without terms",
        "core/terms.py",
        "    if term > known + TERM_LEAP_MAX:\n",
        "    if False:\n",
        test="tests/wire/test_peer_ports.py",
    ),
    Mutant(
        "a term has two leaders if a second one says so",
        "trap 2: whoever reached the port of a storage could end it by that",
        "core/terms.py",
        "    if isinstance(message, _OF_LEADERS) and message.term == term and leader not in (0, sender):\n",
        "    if False:\n",
        test="tests/unit/core/test_terms.py",
    ),
    Mutant(
        "storage hears a second leader",
        "trap 2: whoever reached its port could end it by that",
        "actors/storage.py",
        "            require_leader(message, header.sender, (self._acceptor.term, self._acceptor.leader))\n",
        "",
        test="tests/unit/actors/test_trio.py",
    ),
    Mutant(
        "a leader hears a second one",
        "trap 2: whoever reached its port could end it by that",
        "actors/election.py",
        "        if self._election.role == LEADER:\n            require_leader(",
        "        if False:\n            require_leader(",
        test="tests/unit/actors/test_trio.py",
    ),
    Mutant(
        "a header of any length is taken",
        "no more of a header than its bound is shown in the log",
        "actors/identity.py",
        "    if len(head) > HEADER_BYTES_MAX:",
        "    if False:",
        test="tests/unit/actors/test_identity.py",
    ),
    Mutant(
        "an entry of a term that comes later is taken",
        "it would win each vote, and the others' committed entries would be lost to it",
        "core/acceptor.py",
        " or entry_term(data) > message.term:\n",
        ":\n",
        test="tests/unit/core/test_acceptor.py",
    ),
    Mutant(
        "numbers that nothing can hold are decoded",
        "what is decoded can be counted on from, and stored",
        "protocol/entries.py",
        "Number = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]\n",
        "Number = int\n",
        test="tests/unit/core/test_terms.py",
    ),
    Mutant(
        "a damaged message is believed",
        "no term, vote or index is taken that was damaged on its way",
        "actors/identity.py",
        "    if header.crc is not None and _SEAL.pack",
        "    if header.crc is False and _SEAL.pack",
        test="tests/unit/actors/test_identity.py::test_a_message_with_a_bit_that_was_flipped_on_its_way_is_refused",
    ),
    Mutant(
        "messages leave without a checksum",
        "no term, vote or index is taken that was damaged on its way",
        "actors/identity.py",
        "    return [header + _SEAL.pack(_U32, _checksum(header, message)), message]\n",
        '    return [header + b"\\xc0", message]\n',
        test="tests/unit/actors/test_identity.py::test_a_message_with_a_bit_that_was_flipped_on_its_way_is_refused",
    ),
)
