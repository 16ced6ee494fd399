"""The story the demo tells: nine steps, each judged from outside, in order, none skipped when one fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from appliance.lab.announcing import (
    answers_on_layer2,
    answers_over_bgp,
    follows_local_backends,
    is_taken_back,
    stays_pending,
)
from appliance.lab.failing import feed_is_lost, host_is_drained, host_is_lost, host_returns
from appliance.lab.namespace import NamespaceError
from appliance.lab.network import NetworkError
from appliance.lab.observe import observing
from appliance.lab.place import LabError, Place
from appliance.lab.site import Cluster
from appliance.lab.stage import Stage, StepFailedError
from appliance.lab.topology import Topology
from appliance.store.protocol import StoreError

STEP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One step: what it shows, and the function that shows it and returns what was seen."""

    name: str
    show: Callable[[Stage], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """How one step went."""

    name: str
    held: bool
    seen: str
    milliseconds: int


STEPS = (
    StoryStep("A Service without a pool stays pending, and explain says why", stays_pending),
    StoryStep("With a pool and an L2Advertisement it gets its address and answers", answers_on_layer2),
    StoryStep("With a peer and a BGPAdvertisement the router spreads it over all hosts", answers_over_bgp),
    StoryStep("A Local Service follows its backends, and backends see the real client", follows_local_backends),
    StoryStep("The owner is cut off: another host takes over", host_is_lost),
    StoryStep("The host comes back: nobody notices", host_returns),
    StoryStep("A host is drained: nobody notices", host_is_drained),
    StoryStep("The feed stops: all stays announced, a takeover still works", feed_is_lost),
    StoryStep("The Services are deleted: silence, no route, the address is free", is_taken_back),
)

Before = Callable[[int, Stage], Awaitable[None]]


async def undisturbed(_number: int, _stage: Stage) -> None:
    """Do nothing before a step."""


async def tell(
    place: Place, topology: Topology, cluster: Cluster, before: Before = undisturbed
) -> AsyncIterator[StepRecord]:
    """Go through the story in a fresh lab; `before` is called with the number of each step, from 1."""
    async with observing(place, topology) as observer:
        stage = Stage(place, topology, observer, cluster)
        for number, step in enumerate(STEPS, start=1):
            await before(number, stage)
            # A task a step: on Python before 3.11.4 a TaskGroup that failed leaves its task half cancelled, and the
            # next timeout in it would end the story.
            async with asyncio.TaskGroup() as group:
                shown = group.create_task(_show(step, stage), name=step.name)
            yield shown.result()


async def _show(step: StoryStep, stage: Stage) -> StepRecord:
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            seen, held = await step.show(stage), True
    except (StepFailedError, LabError, NetworkError, NamespaceError, StoreError) as error:
        seen, held = str(error), False
    except ExceptionGroup as group:
        seen, held = "; ".join(str(error) for error in group.exceptions), False
    except TimeoutError:
        seen, held = f"not done after {STEP_SECONDS:.0f} s", False
    return StepRecord(step.name, held, seen, round((clock() - began) * 1000))
