"""Prometheus itself as the scraper: what it makes of names, types and labels."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from appliance.control.listener import parse_listen_address
from appliance.control.metric import Metric, MetricKind, Reading, many, observed, one
from appliance.control.scrape import ScrapeServer
from tests.port import free_port

DEADLINE_SECONDS = 60.0
HOSTILE = 'a"b\\c\nd{e="f"} 1'
REQUESTS = Metric("metallb_layer2_requests_received", MetricKind.COUNTER, "Questions.", ("ip",))
IN_USE = Metric("metallb_allocator_addresses_in_use_total", MetricKind.GAUGE, "Addresses in use.", ("pool",))
ANNOUNCED = Metric("metallb_speaker_announced", MetricKind.GAUGE, "What is announced.", ("service",))
OWNED = Metric("pierhead_vip_owned", MetricKind.GAUGE, "VIPs of this host.")
TAKEOVER = Metric("pierhead_takeover_seconds", MetricKind.HISTOGRAM, "A takeover's time.", (), (0.1, 1.0))


def readings() -> Iterator[Reading]:
    """One metric of each kind and form of name."""
    takeovers = TAKEOVER.histogram()
    takeovers.observe(0.05)
    yield many(REQUESTS, [(("10.0.0.1",), 7)])
    yield many(IN_USE, [(("lan",), 2.0**60)])
    yield many(ANNOUNCED, [((HOSTILE,), 1)])
    yield one(OWNED, 2)
    yield observed(TAKEOVER, takeovers)


@pytest.fixture
async def prometheus(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a Prometheus that scrapes the readings."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    port, own = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    job = f'{{job_name: pierhead, scrape_interval: 1s, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}'
    config.write_text(f"scrape_configs: [{job}]\n")
    flags = (f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{own}")
    async with asyncio.TaskGroup() as group:
        server = ScrapeServer(parse_listen_address(f"127.0.0.1:{port}"), "metrics", readings)
        serving = group.create_task(server.run(), name="metrics")
        running = await asyncio.create_subprocess_exec("prometheus", *flags, stderr=asyncio.subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{own}/api/v1"
        finally:
            running.terminate()
            await running.wait()
            serving.cancel()


async def ask(url: str) -> object:
    """What Prometheus answers, once it has scraped."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    told = (await answer.json())["data"]
            except (aiohttp.ClientError, KeyError):
                told = None
            if told and (not isinstance(told, dict) or told.get("result", True)):
                return told
            await asyncio.sleep(0.05)


async def test_prometheus_has_the_names_types_and_labels_as_they_are(prometheus: str) -> None:
    """No counter is renamed, nothing hostile in a label gets out of it, and Prometheus knows every type."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        await ask(f"{prometheus}/query?query=pierhead_takeover_seconds_count")
        names = await ask(f"{prometheus}/label/__name__/values")
        services = await ask(f"{prometheus}/label/service/values")
        types = await ask(f"{prometheus}/metadata")
        in_use = await ask(f"{prometheus}/query?query=metallb_allocator_addresses_in_use_total")
    assert isinstance(names, list)
    assert isinstance(types, dict)
    assert isinstance(in_use, dict)
    assert {name for name in names if name.startswith(("metallb_", "pierhead_"))} == {
        REQUESTS.name,
        IN_USE.name,
        ANNOUNCED.name,
        OWNED.name,
        *(f"{TAKEOVER.name}_{suffix}" for suffix in ("bucket", "sum", "count")),
    }
    assert services == [HOSTILE]
    told = {name: entries[0]["type"] for name, entries in types.items() if not name.startswith("scrape_")}
    assert told == {each.name: each.kind.value for each in (REQUESTS, IN_USE, ANNOUNCED, OWNED, TAKEOVER)}
    assert float(in_use["result"][0]["value"][1]) == 2.0**60
