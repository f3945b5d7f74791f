"""What an announcement came to: quorum, the key held least, what was read back."""

from __future__ import annotations

from dhtshare.dht.records.receipts import NOT_SEEN, KeyTally, Receipt, ReceiptTally, Seen
from dhtshare.network import Address


def tally(acks: int, servers: int, *, target: int = 20, full: int = 0, verified: bool = False) -> KeyTally:
    return KeyTally(bytes([acks]) * 20, target, servers=servers, acks=acks, full=full, verified=verified)


def test_quorum_is_more_than_half_of_those_who_could_hold_it() -> None:
    assert not tally(10, 40).quorum
    assert tally(11, 40).quorum
    assert not tally(2, 4).quorum
    assert tally(3, 4).quorum
    assert tally(0, 0).quorum  # nobody is there to refuse


def test_who_has_no_room_is_not_counted() -> None:
    assert tally(0, 10, target=10, full=10).quorum
    assert tally(3, 10, target=10, full=5).quorum
    assert not tally(2, 10, target=10, full=5).quorum
    assert tally(2, 10, target=10, full=5).wanted == 5


def gathered(*keys: KeyTally) -> Receipt:
    whole = ReceiptTally(list(keys), {Address("10.0.0.1", 1), Address("10.0.0.2", 1)})
    return whole.receipt(77.0)


def test_a_receipt_adds_up_its_keys() -> None:
    receipt = gathered(tally(18, 40, verified=True), tally(6, 40, target=10), tally(10, 40, target=10, verified=True))
    assert (receipt.keys, receipt.acks, receipt.holders, receipt.verified) == (3, 34, 2, 2)
    assert receipt.quorum
    assert not receipt.alone
    assert receipt.weakest == (6, 10)
    assert not receipt.read_back
    assert receipt.next_renewal == 77.0


def test_one_key_in_two_scopes_is_one_key() -> None:
    receipt = gathered(tally(5, 5, verified=True), tally(5, 5))
    assert (receipt.keys, receipt.acks, receipt.verified) == (1, 10, 1)
    assert receipt.read_back


def test_nobody_there_is_alone_and_an_empty_receipt_is_not_read_back() -> None:
    assert gathered(tally(0, 0)).alone
    assert gathered(tally(0, 0)).weakest == (0, 0)
    assert not ReceiptTally().receipt(0.0).read_back


def test_a_full_word_is_named_once_and_not_waited_for() -> None:
    receipt = gathered(KeyTally(b"k" * 20, 10, "common", servers=9, full=9), KeyTally(b"k" * 20, 10, "common", full=1))
    assert receipt.full == ("common",)
    assert receipt.read_back


def test_a_word_that_one_holder_has_no_room_for_excuses_no_other() -> None:
    """Found again at nine holders and refused by the tenth, it once stood for a second word that nobody showed."""
    crowded = KeyTally(b"k" * 20, 10, "common", servers=10, acks=9, full=1, verified=True)
    unseen = KeyTally(b"l" * 20, 10, "rare", servers=10, acks=10)
    receipt = gathered(crowded, unseen)
    assert (receipt.full, receipt.verified, receipt.no_room) == (("common",), 1, 0)
    assert not receipt.read_back


def test_a_word_with_room_at_some_holder_has_to_be_found_there() -> None:
    assert not gathered(KeyTally(b"k" * 20, 10, "common", servers=10, acks=1, full=9)).read_back
    assert gathered(KeyTally(b"k" * 20, 10, "common", servers=10, full=10)).read_back
    full, with_room = KeyTally(b"k" * 20, 10, "w", servers=9, full=9), KeyTally(b"k" * 20, 10, "w", servers=5, acks=5)
    assert not gathered(full, with_room).read_back  # the other scope has room


def test_in_a_crowded_region_more_are_asked_than_wanted_and_those_with_room_count() -> None:
    twice_as_wide = KeyTally(b"k" * 20, 10, "w", servers=20, acks=4, full=10)
    assert twice_as_wide.wanted == 10
    assert not twice_as_wide.quorum


def test_what_was_found_again_once_counts_ever_after() -> None:
    words = [KeyTally(bytes([number]) * 20, 10, f"w{number}", servers=10, acks=10) for number in range(3)]
    whole = ReceiptTally([KeyTally(b"p" * 20, 20, servers=20, acks=20, verified=True), *words])
    words[0].verified = True
    provider, entry = whole.see(NOT_SEEN, entry=False), whole.see(NOT_SEEN, entry=True)
    assert (provider, entry) == (Seen(1, True), Seen(1, False))
    again = ReceiptTally([KeyTally(b"p" * 20, 20, servers=20, acks=20)])  # the provider record alone
    assert (again.see(provider, entry=False), again.see(entry, entry=True)) == (provider, entry)
    assert again.keys[0].verified


def test_a_partial_renewal_changes_when_and_how_well_but_not_what_was_counted() -> None:
    whole = gathered(tally(18, 40, verified=True), tally(10, 40, target=10, verified=True))
    part = ReceiptTally([tally(3, 40)]).receipt(99.0)
    renewed = whole.renewed(part, 2)
    assert (renewed.keys, renewed.acks, renewed.verified) == (2, 28, 2)
    assert (renewed.quorum, renewed.next_renewal, renewed.weakest) == (False, 99.0, (3, 20))
