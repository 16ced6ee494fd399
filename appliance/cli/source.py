"""Where commands that show a site read it: a store, an agent's socket, or both, found as the programs find them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from appliance.cli.failure import Failure
from appliance.cli.option import DEFAULT_SOCKET
from appliance.daemon.settings import DEFAULT_PATH, SettingsError, load_settings
from appliance.overview.source import Source
from appliance.store.open import FORMS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def store_option(command: Decorated) -> Decorated:
    """`--store`, optional: what it leaves out is found by `find_source`."""
    return click.option(
        "--store",
        envvar="PIERHEAD_STORE",
        show_envvar=True,
        metavar="URL",
        help=f"The site's store: {FORMS}. Default: that of {DEFAULT_PATH}, else the current kubeconfig's.",
    )(command)


def source_options(command: Decorated) -> Decorated:
    """`--store` and `--socket`, both optional: what they leave out is found by `find_source`."""
    socket = click.option(
        "--socket",
        type=click.Path(path_type=Path),
        envvar="PIERHEAD_SOCKET",
        show_envvar=True,
        help="An agent's control socket. Default: this host's, where an agent runs here.",
    )
    return store_option(socket(command))


def find_source(store: str | None, socket: Path | None, settings: Path = DEFAULT_PATH) -> Source:
    """The source asked for; where one is asked for, only that; else this host's; a Failure where there is none."""
    if store or socket:
        return Source(store or "", socket)
    if settings.exists():
        try:
            found = load_settings(settings)
        except SettingsError as error:
            raise Failure(str(error)) from error
        own = found.run_directory / "agent.sock"
        return Source(found.store, own if own.exists() else None)
    if DEFAULT_SOCKET.exists():
        return Source(socket=DEFAULT_SOCKET)
    kubeconfig = os.environ.get("KUBECONFIG", "") or str(Path("~/.kube/config").expanduser())
    if Path(kubeconfig.partition(os.pathsep)[0]).exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        return Source("kubernetes:")
    raise Failure(f"there is no store to ask; name one with --store or PIERHEAD_STORE: {FORMS}")


def require_store(store: str | None) -> str:
    """The store asked for, or found; a Failure where there is none."""
    found = find_source(store, None).store
    if not found:
        raise Failure(f"there is no store to ask; name one with --store or PIERHEAD_STORE: {FORMS}")
    return found
