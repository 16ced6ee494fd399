"""What allocators on a real API server tell Prometheus."""

import asyncio

from tests.cluster.allocators import LAYER2, POOLS, advertisement, namespace, pool, service, until
from tests.cluster.test_allocator import Site, plane, site
from tests.port import free_port
from tests.unit.allocator.test_command import asked

__all__ = ("plane", "site")  # fixtures


def number(text: str, sample: str) -> float:
    """A sample's number, 0 where it is not there."""
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{sample} ")), 0.0)


async def test_two_allocators_tell_who_leads_and_what_they_asked(site: Site) -> None:
    """One leads and tells of pools; both say how often they asked the server. An allocation is in one histogram."""
    path = await namespace(site.api, "metrics")
    await site.api.create(POOLS, pool("lan", "192.0.2.0/28"))
    await site.api.create(LAYER2, advertisement("lan"))
    urls = [f"http://127.0.0.1:{free_port()}/metrics" for _ in range(2)]
    for url in urls:
        site.start(f"--metrics={url.removeprefix('http://').removesuffix('/metrics')}")
    texts: list[str] = []

    async def is_led() -> bool:
        texts[:] = [(await asked(url))[1] for url in urls]
        return sum(number(text, "pierhead_leader") for text in texts) == 1

    await until(is_led)
    await site.api.create(path, service("web"))
    await until(site.is_told(path, "web"))
    in_use = 'metallb_allocator_addresses_in_use_total{pool="lan"}'

    async def is_told() -> bool:
        texts[:] = [(await asked(url))[1] for url in urls]
        return sum(number(text, "pierhead_allocation_seconds_count") for text in texts) == 1

    async with asyncio.timeout(60.0):
        await until(is_told)
    leading, following = sorted(texts, key=lambda text: -number(text, "pierhead_leader"))
    assert (number(leading, in_use), in_use in following) == (1, False)
    assert number(leading, 'pierhead_allocator_writes_total{operation="create",result="done"}') >= 1
    assert number(leading, "pierhead_allocation_seconds_sum") > 0
    for text in texts:
        assert number(text, "metallb_k8s_client_config_loaded_bool") == 1
        codes = [line for line in text.splitlines() if line.startswith("pierhead_store_requests_total{")]
        assert any('verb="watch"' in line and 'code="200"' in line for line in codes), codes
