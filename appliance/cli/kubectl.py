"""`kubectl pierhead ...`: Pierhead's commands on the cluster that kubectl's flags and kubeconfig name.

kubectl runs `kubectl-pierhead` with all that was written behind the plugin's name, and `kubectl_complete-pierhead` with
the words to complete; it takes no flags before the name (Kubernetes documentation, "Extend kubectl with plugins").
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import click
from click.shell_completion import ShellComplete

from appliance.cli.failure import Exit
from appliance.cli.main import main

NAMESPACE = "PIERHEAD_NAMESPACE"

_NAME = "kubectl pierhead"
_NO_FILES = ":4"  # cobra's ShellCompDirectiveNoFileComp
_FLAGS = {"--context": "context", "--kubeconfig": "kubeconfig", "--namespace": "namespace", "-n": "namespace"}


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is left for Pierhead, and what kubectl's own flags say, "" for nothing."""

    arguments: tuple[str, ...]
    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""

    @property
    def store(self) -> str:
        """The cluster's store; without flags that of the kubeconfig that kubectl would take."""
        query = f"?context={quote(self.context, safe='')}" if self.context else ""
        return f"kubernetes:{self.kubeconfig}{query}"


def read_arguments(written: Sequence[str]) -> Invocation:
    """Take kubectl's flags out of what was written; raises a usage error for one without a value."""
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(written)
    for word in words:
        flag, separator, value = word.partition("=")
        if word == "--":
            rest += [word, *words]
        elif flag not in _FLAGS:
            rest.append(word)
        elif separator:
            found[_FLAGS[flag]] = value
        else:
            given = next(words, None)
            if given is None:
                raise click.BadOptionUsage(flag, f"Option '{flag}' requires an argument.")
            found[_FLAGS[flag]] = given
    return Invocation(tuple(rest), **found)


def plugin() -> None:
    """The program `kubectl-pierhead`."""
    try:
        invocation = read_arguments(sys.argv[1:])
    except click.UsageError as error:
        error.show()
        sys.exit(Exit.UNKNOWN)
    _take_over(invocation)
    main(list(invocation.arguments), prog_name=_NAME)


def complete() -> None:
    """The program `kubectl_complete-pierhead`: a line a candidate and its help, then how the shell is to take them."""
    *before, incomplete = sys.argv[1:] or [""]
    try:
        invocation = read_arguments(before)
    except click.UsageError:
        return
    _take_over(invocation)
    for item in ShellComplete(main, {}, _NAME, "").get_completions(list(invocation.arguments), incomplete):
        click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(_NO_FILES)


def _take_over(invocation: Invocation) -> None:
    """Have the commands ask that cluster, whatever host this is; a store that is named wins."""
    os.environ.setdefault("PIERHEAD_STORE", invocation.store)
    if invocation.context or invocation.kubeconfig:
        os.environ["PIERHEAD_STORE"] = invocation.store
    if invocation.namespace:
        os.environ[NAMESPACE] = invocation.namespace
