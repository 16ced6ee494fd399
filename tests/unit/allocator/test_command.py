"""`pierhead allocator` as a process, as those see it who look after it from outside."""

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from appliance.allocator.command import allocator
from appliance.allocator.metric import ALLOCATOR_METRICS, WITHHELD
from appliance.daemon.metric import PROGRAM_METRICS, STORE_REQUESTS
from tests.port import free_port

DEADLINE_SECONDS = 60.0
POOL = """\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.168.1.240/30]}
"""
PIERHEAD = Path(sys.executable).with_name("pierhead")


async def asked(url: str) -> tuple[int, str]:
    """Status and text of an answer, as soon as somebody listens."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


async def test_an_allocator_tells_what_it_declares_and_that_it_is_well(tmp_path: Path) -> None:
    """Every metric declared and no other; /healthz and /readyz for probes. SIGTERM ends it."""
    (tmp_path / "pool.yaml").write_text(POOL)
    base = f"127.0.0.1:{free_port()}"
    store = f"directory:{tmp_path}"
    running = await asyncio.create_subprocess_exec(PIERHEAD, "allocator", "--store", store, "--metrics", base)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            health = await asked(f"http://{base}/healthz")
            while (ready := await asked(f"http://{base}/readyz"))[0] != 200:  # noqa: ASYNC110  # a probe polls
                await asyncio.sleep(0.02)
            text = ""
            while 'metallb_allocator_addresses_total{pool="lan"} 4' not in text:
                _, text = await asked(f"http://{base}/metrics")
    finally:
        running.send_signal(signal.SIGTERM)
        ended = await running.wait()
    told = {tuple(line.split()[2:4]) for line in text.splitlines() if line.startswith("# TYPE ")}
    absent = {WITHHELD, STORE_REQUESTS}  # nothing is withheld, and there is no API server
    declared = {(each.name, each.kind.value) for each in (*PROGRAM_METRICS, *ALLOCATOR_METRICS) if each not in absent}
    assert (health, ready, ended) == ((200, "ok\n"), (200, "ok\n"), 0)
    assert told == declared


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (("--metrics", "7472"), 2, "--metrics: '7472' is not ADDRESS:PORT"),
        (("--service-network", "10.96.0.0/33"), 2, "--service-network: '10.96.0.0/33'"),
        (("--load-balancer-class", "inner --writes=1"), 2, "--load-balancer-class: 'inner --writes=1' is no class"),
        (("--load-balancer-class", "Example.com/inner"), 2, "--load-balancer-class: 'Example.com/inner' is no class"),
        (("--lease-seconds", "1"), 2, "--lease-seconds"),
        (("--store", "directory"), 2, "--store: "),
        (("--load-balancer-class", "example.com/inner", "--service-network", "10.96.0.0/12"), 0, ""),
    ],
)
def test_options_are_checked_before_anything_is_begun(
    tmp_path: Path, options: tuple[str, ...], status: int, complaint: str
) -> None:
    """Each mistake is told with its option; with --check that is all."""
    told = CliRunner().invoke(allocator, ("--store", f"directory:{tmp_path}", "--check", *options))
    assert (told.exit_code, complaint in told.stderr, told.stdout) == (status, True, "")
