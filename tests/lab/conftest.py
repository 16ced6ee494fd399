"""Labs for tests: named after the process, gone afterwards whatever happens."""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest

from appliance.lab import lifecycle
from appliance.lab.place import LabError, Place

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
