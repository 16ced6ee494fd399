"""Options that several commands have, and how they ask a program."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from appliance.cli.failure import Denial, Failure
from appliance.control.error import ControlError, ControlFault

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_SOCKET = Path("/run/pierhead/agent.sock")
_ANSWERS = frozenset({ControlFault.NOT_FOUND, ControlFault.REFUSED})


def socket_option(command: Command) -> Command:
    """`--socket`: where the agent answers."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        default=DEFAULT_SOCKET,
        show_default=True,
        envvar="PIERHEAD_SOCKET",
        show_envvar=True,
        help="The agent's control socket.",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`: an answer for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def asked(question: Coroutine[object, object, T]) -> T:
    """The answer to a question over a control socket; a Failure where there is none."""
    try:
        return asyncio.run(question)
    except ControlError as error:
        raise ending_of(error) from error


def ending_of(error: ControlError) -> click.ClickException:
    """How a command ends that was told this."""
    ending = Denial if error.fault in _ANSWERS else Failure
    return ending(str(error))
