"""How fast addresses are given, whatever the pools' size, number and fill; figures, no judgement."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from time import perf_counter

from appliance.api.address import parse_range
from appliance.api.kind import Object
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import (
    BGPAdvertisement,
    BGPAdvertisementSpec,
    L2Advertisement,
    L2AdvertisementSpec,
)
from appliance.config.compile import compile_config
from appliance.config.model import Pool
from appliance.ipam.allocation import Allocation, allocate
from appliance.ipam.ledger import Ledger
from appliance.ipam.request import Request

SERVICES = 100_000
CHUNK = 1_000


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
    """All figures; rates are per second, times in milliseconds."""
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
    begun = perf_counter()
    work()
    return (perf_counter() - begun) * 1000


def _filling(pools: list[Pool], asked: list[Request]) -> dict[str, float]:
    """The first and the last thousand, and all."""
    ledger = Ledger(pools)
    chunks = (asked[at : at + CHUNK] for at in range(0, len(asked), CHUNK))
    times = [_milliseconds(partial(_give, ledger, chunk)) for chunk in chunks]
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
