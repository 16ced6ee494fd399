"""`pierhead host-credentials`: what a host shows an API server, made or taken back by an administrator."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from appliance.api.duration import parse_duration
from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.pierhead import HOSTS_NAMESPACE
from appliance.api.refusal import StoreRefusal
from appliance.api.text import parse_object_name
from appliance.cli.failure import Denial, Failure
from appliance.cli.host_access import RBAC, Place, host_access, host_kubeconfig
from appliance.cli.option import json_option
from appliance.cli.output import print_json
from appliance.daemon.token import LIFE_SECONDS_MIN, Token, request_token
from appliance.host.file import replace_file
from appliance.store.kubernetes.connection import Connection, Verb
from appliance.store.open import kubernetes_store, open_store
from appliance.store.protocol import Store, StoreError

MANAGER = "pierhead-host-credentials"
_APPLY = "application/apply-patch+yaml"
_CORE_PATH = f"/api/v1/namespaces/{HOSTS_NAMESPACE}"
_RBAC_PATH = f"/apis/{RBAC}/v1/namespaces/{HOSTS_NAMESPACE}"
_HOSTS_PATH = f"/apis/{Kind.HOST.api_version}/hosts"
_UNREACHED = frozenset({StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED})


@dataclass(frozen=True, slots=True)
class HostFile:
    """A host's kubeconfig, where it was written (None = nowhere), and the token in it."""

    host: str
    text: str
    path: Path | None
    token: Token


@dataclass(frozen=True, slots=True)
class EndedHost:
    """A host whose credentials were taken back: whether there were any, and whether there was a Host to delete."""

    host: str
    was_revoked: bool
    was_deleted: bool


def _names(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(map(parse_object_name, texts)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _seconds(_context: click.Context, _option: click.Parameter, text: str) -> int:
    try:
        seconds = int(parse_duration(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if seconds < LIFE_SECONDS_MIN:
        raise click.BadParameter(f"an API server makes no token for less than {LIFE_SECONDS_MIN} s")
    return seconds


@click.command("host-credentials")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, callback=_names)
@click.option(
    "--store",
    "url",
    default="kubernetes:",
    show_default=True,
    envvar="PIERHEAD_STORE",
    help="The cluster as its administrator sees it: kubernetes:/path/to/kubeconfig?context=NAME; kubernetes: alone is"
    " kubectl's own. With --retire also directory:/path/to/folder, whose hosts have no credentials.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the kubeconfig of one host to this file. Default: standard output.",
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the kubeconfig of each host to a file NAME.kubeconfig here.",
)
@click.option(
    "--ttl",
    "ttl_seconds",
    default="24h",
    show_default=True,
    callback=_seconds,
    help="How long the first token is good for, should no agent renew it; the server may allow less.",
)
@click.option("--api-server", metavar="URL", help="The API server as hosts reach it. Default: as --store reaches it.")
@click.option(
    "--certificate-authority",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The certificates (PEM) that the API server's own is signed with. Default: those of --store.",
)
@click.option(
    "--revoke", "is_revoked", is_flag=True, help="Take back the credentials of these hosts: every token ends."
)
@click.option(
    "--retire",
    "is_retired",
    is_flag=True,
    help="These hosts are gone for good: take back their credentials, and delete their Hosts; also of a folder's site.",
)
@json_option
def host_credentials(
    *,
    names: tuple[str, ...],
    url: str,
    output: Path | None,
    directory: Path | None,
    ttl_seconds: int,
    api_server: str | None,
    certificate_authority: Path | None,
    is_revoked: bool,
    is_retired: bool,
    as_json: bool,
) -> None:
    """Make the credentials that hosts begin with, or take them back.

    Each host gets a ServiceAccount of its name in the namespace pierhead-hosts, the right to read the Secret of its
    name there, and a kubeconfig with a token that its agent renews from then on. Files are for their owner alone
    (mode 0600). Doing it again is harmless: tokens made before stay good until they end, or --revoke ends them.
    A host that is taken out of the site for good is forgotten by --retire, once its agent has stopped.
    """
    if (is_revoked or is_retired) and (output or directory):
        raise click.UsageError("--revoke and --retire write no file; leave out --output and --directory")
    if output and directory:
        raise click.UsageError("write --output or --directory, not both")
    if len(names) > 1 and not (directory or is_revoked or is_retired):
        raise click.UsageError("several hosts need --directory")
    scheme, _, _ = url.partition(":")
    if scheme != "kubernetes" and not (scheme == "directory" and is_retired):
        raise click.BadParameter(
            f"{url!r} is no Kubernetes cluster; others ask for no credentials", param_hint="--store"
        )
    try:
        if scheme == "directory":
            _tell_ended(asyncio.run(_forget_all(open_store(url), names)), is_retired, as_json)
            return
        connection = kubernetes_store(url).connection
        if is_revoked or is_retired:
            _tell_ended(asyncio.run(_end_all(connection, names, is_retired)), is_retired, as_json)
            return
        paths = {name: directory / f"{name}.kubeconfig" if directory else output for name in names}
        authority = certificate_authority.read_text() if certificate_authority else None
        made = asyncio.run(_make_all(connection, paths, ttl_seconds, api_server, authority))
    except StoreError as error:
        ending = Failure if error.refusal in _UNREACHED else Denial
        raise ending(_explained(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(str(error)) from error
    _tell_made(made, ttl_seconds, as_json)


async def _make_all(
    connection: Connection,
    paths: Mapping[str, Path | None],
    ttl_seconds: int,
    api_server: str | None,
    authority: str | None,
) -> list[HostFile]:
    """The kubeconfig of each host that has a path, written as soon as it is made."""
    made = []
    async with connection.held():
        access = await connection.access()
        place = Place((api_server or access.server).rstrip("/"), access.authority if authority is None else authority)
        for name, path in paths.items():
            token = await _make(connection, name, ttl_seconds)
            text = host_kubeconfig(name, place, token.text)
            if path is not None:
                replace_file(path, text, 0o600)
            made.append(HostFile(name, text, path, token))
    return made


async def _make(connection: Connection, name: str, ttl_seconds: int) -> Token:
    """Bring a host's account and rights to what they should be, and have a token made."""
    query = {"fieldManager": MANAGER, "force": "true"}
    folders = (f"{_CORE_PATH}/serviceaccounts", f"{_RBAC_PATH}/roles", f"{_RBAC_PATH}/rolebindings")
    for folder, manifest in zip(folders, host_access(name), strict=True):
        subject = f"{manifest['kind']} {HOSTS_NAMESPACE}/{name}"
        path = f"{folder}/{name}"
        await connection.request(Verb.PATCH, path, query=query, body=manifest, content_type=_APPLY, subject=subject)
    return await request_token(connection, HOSTS_NAMESPACE, name, ttl_seconds)


async def _end_all(connection: Connection, names: Sequence[str], is_retired: bool) -> list[EndedHost]:
    """Take back what was made for some hosts; of those that are retired, delete the Host as well."""
    async with connection.held():
        return [await _end(connection, name, is_retired) for name in names]


async def _end(connection: Connection, name: str, is_retired: bool) -> EndedHost:
    """The account first: every token ends with it, so that no agent makes its Host anew."""
    folders = (f"{_CORE_PATH}/serviceaccounts", f"{_RBAC_PATH}/rolebindings", f"{_RBAC_PATH}/roles")
    revoked = [await _delete(connection, folder, name) for folder in folders]
    return EndedHost(name, any(revoked), is_retired and await _delete(connection, _HOSTS_PATH, name))


async def _forget_all(store: Store, names: Sequence[str]) -> list[EndedHost]:
    """Delete what a store without credentials has of some hosts."""
    return [EndedHost(name, was_revoked=False, was_deleted=await _forget(store, name)) for name in names]


async def _forget(store: Store, name: str) -> bool:
    """The Host first, from which the allocator makes the other: it may have stopped, and would leave the passwords."""
    was_there = False
    for ref in (Ref(Kind.HOST.title, "", name), Ref(Kind.SECRET.title, HOSTS_NAMESPACE, name)):
        try:
            await store.delete(ref)
            was_there |= ref.kind == Kind.HOST.title
        except StoreError as error:
            if error.refusal is not StoreRefusal.NOT_FOUND:
                raise
    return was_there


async def _delete(connection: Connection, folder: str, name: str) -> bool:
    """Whether there was something to delete."""
    try:
        await connection.request(Verb.DELETE, f"{folder}/{name}", subject=f"{folder.rpartition('/')[2]} {name}")
    except StoreError as error:
        if error.refusal is not StoreRefusal.NOT_FOUND:
            raise
        return False
    return True


def _tell_made(made: Sequence[HostFile], ttl_seconds: int, as_json: bool) -> None:
    shortest = min(each.token.life_seconds for each in made)
    if shortest < ttl_seconds:
        click.echo(f"The server makes no token for {ttl_seconds} s: these are good for {shortest:g} s.", err=True)
    if as_json:
        entries = [
            {
                "host": each.host,
                "ends": each.token.end,
                **({"file": str(each.path)} if each.path else {"kubeconfig": each.text}),
            }
            for each in made
        ]
        print_json(entries)
        return
    for each in made:
        if each.path is None:
            click.echo(each.text, nl=False)
        else:
            click.echo(f"{each.host}: {each.path}; its token is good until {each.token.end}")


def _tell_ended(ended: Sequence[EndedHost], is_retired: bool, as_json: bool) -> None:
    if as_json:
        entries = [
            {"host": each.host, "revoked": each.was_revoked, **({"deleted": each.was_deleted} if is_retired else {})}
            for each in ended
        ]
        print_json(entries)
        return
    for each in ended:
        said = "every token has ended" if each.was_revoked else "there was nothing to revoke"
        gone = f"; its Host {'is deleted' if each.was_deleted else 'was not there'}" if is_retired else ""
        click.echo(f"{each.host}: {said}{gone}")


def _explained(error: StoreError) -> str:
    """The refusal, and what usually is the reason."""
    if error.refusal is StoreRefusal.NOT_FOUND and f'namespaces "{HOSTS_NAMESPACE}" not found' in str(error):
        return f"there is no namespace {HOSTS_NAMESPACE}: install the chart first"
    return str(error)
