"""Options that several commands have, and how they ask a program."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from appliance.api.address import IPAddress, parse_address
from appliance.cli.failure import Denial, Failure
from appliance.control.error import ControlError, ControlFault

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_SOCKET = Path("/run/pierhead/agent.sock")
_ANSWERS = frozenset({ControlFault.NOT_FOUND, ControlFault.REFUSED})


class _Address(click.ParamType[IPAddress]):
    """An IP address."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> IPAddress:
        """Read it; a usage error for what is none."""
        try:
            return parse_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


ADDRESS = _Address()


def json_option(command: Command) -> Command:
    """`--json`: an answer for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def watch_option(command: Command) -> Command:
    """`--watch`: the answer again after every change."""
    return click.option("--watch", is_flag=True, help="Go on after every change, until interrupted.")(command)


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
