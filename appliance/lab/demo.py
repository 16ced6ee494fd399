"""The demo: a lab of its own, the story told in it, a table at the end."""

import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from appliance.lab import lifecycle
from appliance.lab.lifecycle import MakeCluster, Say
from appliance.lab.place import Place
from appliance.lab.site import FolderCluster
from appliance.lab.story import STEPS, Before, StepRecord, tell, undisturbed


async def run(
    place: Place,
    hosts: int,
    say: Say,
    *,
    as_json: bool = False,
    before: Before = undisturbed,
    make_cluster: MakeCluster = FolderCluster,
) -> bool:
    """Bring a lab up, tell the story while it happens, take the lab down; True when every step held."""
    topology = await lifecycle.up(place, hosts, say, make_cluster)
    cluster = make_cluster(place, topology)
    records: list[StepRecord] = []
    try:
        async for record in tell(place, topology, cluster, before):
            records.append(record)
            say(_line(len(records), record))
            if as_json:
                sys.stdout.write(json.dumps(asdict(record)) + "\n")
                sys.stdout.flush()
    finally:
        cluster.close()
        await lifecycle.down(place)
    if not as_json:
        _print_table(records)
    return len(records) == len(STEPS) and all(record.held for record in records)


def _line(number: int, record: StepRecord) -> str:
    verdict = "held" if record.held else "NOT HELD"
    return f"{number}. {record.name} ... {verdict}, {record.milliseconds} ms\n   {record.seen}"


def _print_table(records: list[StepRecord]) -> None:
    console = Console()
    if not console.is_terminal:
        for number, record in enumerate(records, start=1):
            verdict = "held" if record.held else "NOT HELD"
            sys.stdout.write(f"{number}  {verdict:8}  {record.milliseconds:6} ms  {record.name}\n")
        return
    table = Table("", "step", "held", "ms", "seen")
    for number, record in enumerate(records, start=1):
        verdict = "[green]yes" if record.held else "[bold red]no"
        table.add_row(str(number), record.name, verdict, str(record.milliseconds), record.seen)
    console.print(table)
