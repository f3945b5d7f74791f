"""Records while half of the nodes are replaced every hour. The whole day runs by `scripts/bench churn`."""

from dhtshare.dht.records.limits import PROVIDER_TTL
from tests.sim.churn import a_day


def test_what_stays_shared_stays_found_and_what_died_goes() -> None:
    figures = a_day(nodes=24, hours=3.6, seed=3, publishers=3, contents=10)
    assert figures["replaced"] > 24  # every place has changed hands about three times
    assert figures["entries"]["share"] >= 0.99, figures
    assert figures["providers"]["share"] >= 0.99, figures
    gone = figures["dead_publisher"]["provider_last_found_s"]
    assert 0.5 * PROVIDER_TTL < gone <= 1.1 * PROVIDER_TTL, figures
