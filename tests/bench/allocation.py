"""How fast addresses are given, whatever the pools' size, number and fill; figures, no judgement."""

import argparse
import json
import platform
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from statistics import median
from time import process_time

from appliance.api.address import parse_range
from appliance.api.core import Protocol
from appliance.api.kind import Object
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import (
    BGPAdvertisement,
    BGPAdvertisementSpec,
    IPAddressPool,
    IPAddressPoolSpec,
    L2Advertisement,
    L2AdvertisementSpec,
)
from appliance.config.compile import compile_config
from appliance.config.model import Pool
from appliance.ipam.allocation import Allocation, allocate
from appliance.ipam.ledger import Ledger
from appliance.ipam.reconcile import reconcile
from appliance.ipam.request import Request, SharingTerms
from tests.bench.settling import announcing, changing, flooding

SERVICES = 100_000
CHUNK = 1_000
ROUNDS = 5


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--services", type=int, default=SERVICES)
    arguments = parser.parse_args()
    found = figures(arguments.services)
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for name, figure in found.items():
        sys.stdout.write(f"{name}: {figure}\n")


def figures(services: int) -> dict[str, object]:
    """All figures; rates are per second, times in milliseconds, both of processor time on one core."""
    asked = [Request(f"default/s{number}") for number in range(services)]
    selected = LabelSelector(match_labels={"tier": "gold"})
    two_hundred = [_pool(f"p{number:03}", f"10.{number}.0.0/23") for number in range(200)]
    pinned = [replace(pool, pinned=True, service_selectors=(selected,)) for pool in two_hundred]
    gold = [replace(request, labels={"tier": "gold"}) for request in asked]
    return {
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        "services": services,
        "one /15": _filling([_pool("a", "10.0.0.0/15")], asked),
        "200 pools of 512": _filling(two_hundred, asked),
        "200 pools with a selector": _filling(pinned, gold),
        "one shared key, two ports": _sharing(services),
        "full /16": _refusing(),
        "release and give again in a full /16": _churning(),
        "ledger": _memory(asked),
        "one Service looked at again": _reconciling(asked),
        "one change among many Services": changing(services),
        "one change among announced Services": announcing(services // 5),
        "many Services at once on a store of 5 ms a write": flooding(),
        "the same without endpoints": flooding(are_served=False),
        "compile": _compiling(),
    }


def _pool(name: str, *ranges: str) -> Pool:
    return Pool(Ref("IPAddressPool", "metallb-system", name), tuple(parse_range(text) for text in ranges))


def _give(ledger: Ledger, requests: Iterable[Request]) -> None:
    for request in requests:
        choice = allocate(request, ledger)
        if isinstance(choice, Allocation):
            ledger.hold(request, choice.addresses)


def _milliseconds(work: Callable[[], object]) -> float:
    """Processor time, so that what else runs on the machine does not count."""
    begun = process_time()
    work()
    return (process_time() - begun) * 1000


def _median(work: Callable[[], object]) -> float:
    return median(_milliseconds(work) for _ in range(ROUNDS))


def _filling(pools: list[Pool], asked: list[Request]) -> dict[str, float]:
    """The first and the last thousand, and all, each the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        ledger = Ledger(pools)
        chunks = (asked[at : at + CHUNK] for at in range(0, len(asked), CHUNK))
        rounds.append([_milliseconds(partial(_give, ledger, chunk)) for chunk in chunks])
    times = [median(chunk) for chunk in zip(*rounds, strict=True)]
    held = sum(1 for _ in ledger.holdings())
    return {
        "first_thousand_ms": round(times[0], 2),
        "last_thousand_ms": round(times[-1], 2),
        "last_to_first": round(times[-1] / times[0], 2),
        "per_second": round(len(asked) / sum(times) * 1000),
        "given": held,
    }


def _sharing(services: int) -> dict[str, float]:
    """Everybody under one key, half on one port and half on another: as many addresses as half the Services."""
    terms = SharingTerms("k", None)
    ports = (frozenset({(Protocol.TCP, 80)}), frozenset({(Protocol.TCP, 443)}))
    asked = [Request(f"default/s{n}", sharing=terms, ports=ports[n % 2]) for n in range(services)]
    return _filling([_pool("a", "10.0.0.0/15")], asked)


def _full() -> Ledger:
    ledger = Ledger([_pool("a", "10.0.0.0/16")])
    _give(ledger, (Request(f"default/s{number}") for number in range(2**16)))
    return ledger


def _refusing() -> dict[str, float]:
    """What a "no" costs in a full /16 beside a "yes" in an empty one."""
    full, count = _full(), 20_000
    asked = [Request(f"default/x{number}") for number in range(count)]
    empty = Ledger([_pool("a", "10.0.0.0/16")])
    refused = _median(lambda: [allocate(request, full) for request in asked])
    given = _median(lambda: [allocate(request, empty) for request in asked])
    return {
        "refusals_per_second": round(count / refused * 1000),
        "answers_per_second_when_empty": round(count / given * 1000),
        "full_to_empty": round(refused / given, 2),
    }


def _churning() -> dict[str, float]:
    full, count = _full(), 20_000

    def churn() -> None:
        for number in range(count):
            name = f"default/s{number * 3 % 2**16}"
            full.release(name)
            _give(full, (Request(name),))

    return {"per_second": round(count / _milliseconds(churn) * 1000)}


def _memory(asked: list[Request]) -> dict[str, float]:
    """Bytes the ledger takes for each Service, without the Services themselves."""
    tracemalloc.start()
    ledger = Ledger([_pool("a", "10.0.0.0/15")])
    before = tracemalloc.get_traced_memory()[0]
    _give(ledger, asked)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"bytes_per_service": round((after - before) / len(asked))}


def _reconciling(asked: list[Request]) -> dict[str, float]:
    """Looking again at a Service that keeps its address, beside all others."""
    ledger, count = Ledger([_pool("a", "10.0.0.0/15")]), 20_000
    _give(ledger, asked)

    def look() -> None:
        for request in asked[:count]:
            holding = ledger.holding(request.service)
            reconcile(request.service, request, holding.addresses if holding else (), ledger)

    return {"microseconds": round(_milliseconds(look) * 1000 / min(count, len(asked)), 1)}


def _compiling() -> dict[str, float]:
    """1,000 pools and 2,000 advertisements."""
    pools = [
        IPAddressPool(
            metadata=Metadata(name=f"p{n:04}", namespace="metallb-system"),
            spec=IPAddressPoolSpec(addresses=(parse_range(f"10.{n // 250}.{n % 250}.0/24"),)),
        )
        for n in range(1000)
    ]
    l2 = [
        L2Advertisement(
            metadata=Metadata(name=f"l2-{n:04}", namespace="metallb-system"),
            spec=L2AdvertisementSpec(ip_address_pools=(f"p{n:04}",)),
        )
        for n in range(1000)
    ]
    bgp = [
        BGPAdvertisement(
            metadata=Metadata(name=f"bgp-{n:04}", namespace="metallb-system"),
            spec=BGPAdvertisementSpec(ip_address_pools=(f"p{n:04}",)),
        )
        for n in range(1000)
    ]
    manifests: list[Object] = [*pools, *l2, *bgp]
    compiled = compile_config(manifests)
    times = sorted(_milliseconds(lambda: compile_config(manifests)) for _ in range(5))
    config = compiled.config
    ledger = Ledger(config.pools.values() if config else ())
    return {
        "milliseconds": round(times[2], 1),
        "problems": len(compiled.problems),
        "set_pools_ms": round(_milliseconds(lambda: ledger.set_pools(config.pools.values() if config else ())), 1),
    }


if __name__ == "__main__":
    main()
