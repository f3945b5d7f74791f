"""The order of hits."""

from hypothesis import given
from hypothesis import strategies as st

from dhtshare.ranking import MAX_NAMES, Hit, HitList, deal, rank


def hit(number: int, publisher: int, networks: tuple[int, ...] = ()) -> Hit:
    made = Hit(number.to_bytes(32, "big"), "file", 1)
    made.publishers[publisher.to_bytes(32, "big")] = "n"
    made.networks = {bytes([network]) for network in networks}
    return made


def add(hits: HitList, number: int, publisher: int, *, name: str = "n", size: int = 7, told_by: str = "a") -> Hit:
    return hits.add(
        content_hash=number.to_bytes(32, "big"),
        kind="file",
        size=size,
        name=name,
        publisher=publisher.to_bytes(32, "big"),
        told_by=told_by,
    )


def order(hits: HitList) -> list[int]:
    return [int.from_bytes(hit.content_hash, "big") for hit in hits.hits()]


def test_five_publishers_of_one_content_are_one_hit() -> None:
    hits = HitList()
    added = [add(hits, 1, number, name=name) for number, name in enumerate(["b", "a", "b", "c", "a"])]
    (only,) = hits.hits()
    assert all(one is only for one in added)
    assert len(only.publishers) == 5
    assert only.name == "a"  # as often as b, first in the alphabet
    assert only.other_names() == ["a", "b", "c"]


def test_a_publisher_that_withdraws_takes_its_name_along() -> None:
    hits = HitList()
    add(hits, 1, 1, name="spam")
    add(hits, 1, 2, name="song")
    hits.withdraw((1).to_bytes(32, "big"), (1).to_bytes(32, "big"))
    (only,) = hits.hits()
    assert (only.name, only.other_names()) == ("song", ["song"])
    hits.withdraw((2).to_bytes(32, "big"), (1).to_bytes(32, "big"))
    hits.withdraw((3).to_bytes(32, "big"), (1).to_bytes(32, "big"))  # who published nothing
    assert hits.hits() == []
    assert len(hits) == 0


def test_one_publisher_counts_once() -> None:
    hits = HitList()
    for name, size in (("x", 7), ("y", 7), ("z", 8)):
        add(hits, 1, 1, name=name, size=size)
    (only,) = hits.hits()
    assert (only.other_names(), only.size) == (["x"], 7)


def test_a_lying_size_makes_another_hit() -> None:
    hits = HitList()
    for publisher, size in ((1, 7), (2, 8)):
        add(hits, 1, publisher, size=size)
    assert len(hits) == len(hits.hits()) == 2


def test_names_are_bounded() -> None:
    hits = HitList()
    for number in range(100):
        add(hits, 1, number, name=str(number))
    assert len(hits.hits()[0].other_names()) == MAX_NAMES


def test_who_was_quickest_and_tells_of_hundreds_gets_no_more_room_than_another() -> None:
    hits = HitList()
    for number in range(500):
        add(hits, 1000 + number, number, told_by="quick")
    for teller in "abc":
        for number in range(9):
            add(hits, number, 7, told_by=teller)  # three holders of one set say the same
    first = order(hits)
    assert set(range(9)) <= set(first[:12])  # a place of the quick one for three of theirs
    assert first[:4] == [1000, 0, 1, 2]
    assert len(first) == 509


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 15)), max_size=80), st.integers(0, 20))
def test_after_so_many_rounds_everybody_had_so_many_of_its_own(told: list[tuple[str, int]], rounds: int) -> None:
    hits = HitList()
    own: dict[str, set[int]] = {}
    for teller, number in told:
        add(hits, number, 1, told_by=teller)
        own.setdefault(teller, set()).add(number)
    shown = order(hits)
    assert sorted(shown) == sorted({number for _, number in told})
    first = set(shown[: rounds * len(own)])
    assert all(len(first & numbers) >= min(rounds, len(numbers)) for numbers in own.values())


def test_each_hit_stands_once_however_many_tell_of_it() -> None:
    hits = HitList()
    for teller, number in (("a", 1), ("b", 1), ("b", 2), ("a", 3), ("c", 3)):
        add(hits, number, 1, told_by=teller)
    assert order(hits) == [1, 2, 3]


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
