"""The order of hits."""

from dhtshare.ranking import MAX_NAMES, Hit, HitList, deal, rank


def hit(number: int, publisher: int, networks: tuple[int, ...] = ()) -> Hit:
    made = Hit(number.to_bytes(32, "big"), "file", 1)
    made.publishers[publisher.to_bytes(32, "big")] = "n"
    made.networks = {bytes([network]) for network in networks}
    return made


def test_five_publishers_of_one_content_are_one_hit() -> None:
    hits = HitList()
    fresh = [
        hits.add(content_hash=b"c" * 32, kind="file", size=7, name=name, publisher=bytes([number]) * 32)
        for number, name in enumerate(["b", "a", "b", "c", "a"])
    ]
    assert [hit is not None for hit in fresh] == [True, False, False, False, False]
    (only,) = hits.hits()
    assert len(only.publishers) == 5
    assert only.name == "a"  # as often as b, first in the alphabet
    assert only.other_names() == ["a", "b", "c"]


def test_a_publisher_that_withdraws_takes_its_name_along() -> None:
    hits = HitList()
    for publisher, name in ((b"p", "spam"), (b"q", "song")):
        hits.add(content_hash=b"c" * 32, kind="file", size=7, name=name, publisher=publisher * 32)
    hits.withdraw(b"p" * 32, b"c" * 32)
    (only,) = hits.hits()
    assert (only.name, only.other_names()) == ("song", ["song"])


def test_one_publisher_counts_once() -> None:
    hits = HitList()
    for name in ("x", "y"):
        hits.add(content_hash=b"c" * 32, kind="file", size=7, name=name, publisher=b"p" * 32)
    (only,) = hits.hits()
    assert only.other_names() == ["x"]


def test_a_lying_size_makes_another_hit() -> None:
    hits = HitList()
    for publisher, size in ((b"p", 7), (b"q", 8)):
        hits.add(content_hash=b"c" * 32, kind="file", size=size, name="x", publisher=publisher * 32)
    assert len(hits) == 2


def test_names_are_bounded() -> None:
    hits = HitList()
    for number in range(100):
        hits.add(content_hash=b"c" * 32, kind="file", size=7, name=str(number), publisher=number.to_bytes(32, "big"))
    assert len(hits.hits()[0].other_names()) == MAX_NAMES


def test_deal_is_round_robin() -> None:
    assert deal(["a1", "a2", "a3", "b1", "c1", "c2"], lambda item: item[0]) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_distinct_networks_come_first_and_keys_weigh_nothing() -> None:
    loud = hit(1, 1)
    loud.publishers |= {bytes([number]) * 32: "n" for number in range(200)}
    held = hit(2, 2, networks=(1,))
    held_widely = hit(3, 3, networks=(1, 2))
    assert rank([loud, held, held_widely]) == [held_widely, held, loud]


def test_five_hundred_of_one_network_never_bury_ten_honest_ones() -> None:
    """threats.md, keyword spam: each spam entry has its own key and 'confirms' itself."""
    spam = [hit(number, number, networks=(9,)) for number in range(500)]
    honest = [hit(1000 + number, 1000 + number, networks=(1,)) for number in range(10)]
    first = rank(spam + honest)[:20]
    assert all(one in first for one in honest)


def test_spam_that_nobody_holds_sinks() -> None:
    spam = [hit(number, number) for number in range(500)]
    honest = [hit(1000 + number, 1000 + number, networks=(number,)) for number in range(10)]
    assert rank(spam + honest)[:10] == honest
