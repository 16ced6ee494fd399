"""What `pierhead explain service` says: each reason there is, with the whole text and what to do."""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from enum import Enum
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from appliance.advertise.reason import HostReason
from appliance.api.meta import Ref
from appliance.cli.main import main
from appliance.control.codec import checked
from appliance.control.message import AgentStatus
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.desired.announcement import BGPReason
from appliance.ipam.reason import Skip
from appliance.overview.chain import Announcing, ChainLink, HostState
from appliance.overview.explanation import ADVICE
from appliance.overview.probe import Answering
from appliance.overview.reach import Inability
from appliance.store.directory.layout import Layout
from tests.port import free_port
from tests.serving import say_nothing, saying, serving
from tests.unit.control.sample import Served

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*.yaml"))
ARGUMENTS, WITHOUT, UNREADABLE, APPLICATION = "# arguments: ", "# without ", "# unreadable ", "# application: "
# A document of this kind is what an agent says of itself, which the command asks over a socket.
AGENT = "Agent"
# In a case the port that the application listens on, which is another one each time.
PORT = "65000"


APPLICATIONS = {
    "serves": saying(b"HTTP/1.1 200 OK\r\n\r\n"),
    "fails": saying(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"),
    "hangs up": saying(b""),
    "says nothing": say_nothing,
}


def manifests(text: str) -> dict[tuple[str, str], dict[str, object]]:
    """The objects of a text by kind and name."""
    loaded = [each for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], _path(each["metadata"])): each for each in loaded}


def _path(metadata: dict[str, str]) -> str:
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


@contextmanager
def _serving(application: str) -> Iterator[str]:
    """The port of an application; of none one that nobody listens on."""
    if application not in APPLICATIONS:
        yield str(free_port())
        return
    with serving(APPLICATIONS[application]) as port:
        yield str(port)


def _agent(path: Path, said: object) -> ControlServer:
    return ControlServer(path, Routes(topics=Served(checked(AgentStatus, said)).topics))


async def explain(case: Path, folder: Path, *arguments: str) -> Result:
    """The command's outcome on a directory store that holds a case; its first lines may name what is otherwise.

    The application's port and how long it took are written as in the case.
    """
    text = case.read_text()
    site = manifests((HERE / "whole.yaml").read_text()) | manifests(text)
    written: list[str] = []
    application = ""
    for line in text.splitlines():
        if line.startswith(ARGUMENTS):
            written = line.removeprefix(ARGUMENTS).split()
        elif line.startswith(APPLICATION):
            application = line.removeprefix(APPLICATION)
        elif line.startswith(WITHOUT):
            kind, path = line.removeprefix(WITHOUT).split()
            del site[kind, path]
        elif line.startswith(UNREADABLE):
            kind, name = line.removeprefix(UNREADABLE).split()
            file = Path(Layout(folder).object_path(Ref(kind, "", name)))
            file.parent.mkdir(parents=True)
            file.write_text("{")
    agents = [site.pop(key) for key in list(site) if key[0] == AGENT]
    command = ["explain", "service", "team/echo", "--store", f"directory:{folder}", *written, *arguments]
    async with AsyncExitStack() as stack:
        port = stack.enter_context(_serving(application))
        (folder / "site.yaml").write_text(yaml.safe_dump_all(site.values()).replace(PORT, port))
        for number, agent in enumerate(agents):
            socket = folder / f"{number}.sock"
            await stack.enter_async_context(_agent(socket, agent["said"]).serving())
            command += ["--socket", str(socket)]
        outcome = await asyncio.to_thread(CliRunner().invoke, main, command, prog_name="pierhead")
    said = re.sub(r"after [0-9.]+ ms", "after N ms", outcome.stdout).replace(str(folder), "")
    outcome.stdout_bytes = said.replace(f"port {port} ", f"port {PORT} ").encode()
    return outcome


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
async def test_explanation(case: Path, tmp_path: Path) -> None:
    """Every line is as reviewed."""
    outcome = await explain(case, tmp_path)
    assert (case.with_suffix(".txt").read_text(), "") == (outcome.stdout, outcome.stderr)
    assert outcome.exit_code == int(not case.stem.startswith("whole"))


@pytest.mark.parametrize("link", ChainLink, ids=[link.value for link in ChainLink])
async def test_broken_link_is_named(link: ChainLink, tmp_path: Path) -> None:
    """Of each link there is a case in which it is the broken one, for programs too."""
    cases = [case for case in CASES if case.stem.startswith(f"{list(ChainLink).index(link) + 1}-")]
    assert cases
    for case in cases:
        folder = tmp_path / case.stem
        folder.mkdir()
        told = json.loads((await explain(case, folder, "--json")).stdout)
        assert told["broken"] == link.value
        assert next(each["link"] for each in told["links"] if each["state"] == "broken") == told["broken"]
        assert told["advice"]


def untold(reasons: Iterable[Enum], texts: str) -> set[Enum]:
    """The reasons that stand in no text."""
    return {reason for reason in reasons if reason.value not in texts}


def test_every_reason_has_a_case() -> None:
    """Whatever can be the first broken link, with its advice, and whatever is said of hosts, ports and pools."""
    texts = "\n".join(case.with_suffix(".txt").read_text() for case in CASES)
    # What is not announced since nothing can serve is mended below; so its advice is never the first.
    advised = {reason for reason, what in ADVICE.items() if f"\nWhat to do: {what}\n" in texts}
    assert ADVICE.keys() - advised == {Announcing.NOT_SERVED}
    assert untold(ADVICE, texts) == set()
    assert untold((*HostReason, *HostState, *Answering, *Skip, *BGPReason), texts) == set()
    # Only hosts of the order are asked about; one that was asked itself says more.
    assert untold(Inability, texts) == {Inability.UNKNOWN_HOST, Inability.NOT_ADMITTED, Inability.SAYS_NO}
