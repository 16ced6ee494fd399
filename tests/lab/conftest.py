"""Labs for tests: named after the process, gone afterwards whatever happens."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from appliance.bird.model import BirdConfig
from appliance.bird.render import render
from appliance.lab import lifecycle
from appliance.lab.place import LabError, Place
from tests.lab.birdsite import HOST_A, ROUTER, Daemon, Lan, daemons, lan

MakePlace = Callable[[str], Place]


@pytest.fixture
def make_place() -> Iterator[MakePlace]:
    """Names for labs; each that was started is taken down in the end."""
    try:
        lifecycle.require_system()
    except LabError as error:
        pytest.skip(str(error))
    made: list[Place] = []

    def make(suffix: str) -> Place:
        made.append(Place(f"t{os.getpid()}{suffix}"))
        return made[-1]

    yield make
    for place in made:
        asyncio.run(lifecycle.down(place))


@pytest.fixture(scope="module")
def site() -> Iterator[Lan]:
    """The LAN of BIRDs all tests of a module share."""
    with lan() as built:
        yield built


@pytest.fixture
async def birds(site: Lan, tmp_path: Path) -> AsyncIterator[dict[str, Daemon]]:
    """A BIRD for every host: host a's runs and does nothing yet."""
    async with daemons(site, tmp_path) as made:
        made["a"].config.write_text(render(BirdConfig(router_id=HOST_A.router_id)))
        made["a"].start()
        made["r"].config.write_text(ROUTER)
        yield made
