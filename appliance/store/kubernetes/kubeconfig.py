"""A kubeconfig as it is looked at before the client has it, so that what is wrong with it is said in its own words.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError

from appliance.api.manifest import field_path, sentence_of
from appliance.api.text import shown
from appliance.api.value import Boolean, partial_value
from appliance.api.yaml import BadYAML, describe, load_documents


class AccessError(Exception):
    """There is no way to an API server in what was given."""


@partial_value
class _Cluster:
    server: str | None = None
    certificate_authority: Annotated[str | None, Field(alias="certificate-authority")] = None
    authority_data: Annotated[str | None, Field(alias="certificate-authority-data")] = None
    is_insecure: Annotated[Boolean | None, Field(alias="insecure-skip-tls-verify")] = None
    server_name: Annotated[str | None, Field(alias="tls-server-name")] = None
    proxy: Annotated[str | None, Field(alias="proxy-url")] = None


@partial_value
class _Context:
    cluster: str | None = None
    user: str | None = None


@partial_value
class _Variable:
    name: str
    value: str


@partial_value
class _Exec:
    command: str
    args: tuple[str, ...] | None = None
    env: tuple[_Variable, ...] | None = None


@partial_value
class _Provider:
    name: str
    config: Mapping[str, str] | None = None


@partial_value
class _User:
    token: str | None = None
    token_file: str | None = None
    username: str | None = None
    password: str | None = None
    certificate: Annotated[str | None, Field(alias="client-certificate")] = None
    certificate_data: Annotated[str | None, Field(alias="client-certificate-data")] = None
    key: Annotated[str | None, Field(alias="client-key")] = None
    key_data: Annotated[str | None, Field(alias="client-key-data")] = None
    exec: _Exec | None = None
    provider: Annotated[_Provider | None, Field(alias="auth-provider")] = None


@partial_value
class _NamedCluster:
    name: str
    cluster: _Cluster | None = None


@partial_value
class _NamedContext:
    name: str
    context: _Context | None = None


@partial_value
class _NamedUser:
    name: str
    user: _User | None = None


@partial_value
class _Kubeconfig:
    clusters: tuple[_NamedCluster, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    current: Annotated[str | None, Field(alias="current-context")] = None


def unusable(paths: str, why: str) -> AccessError:
    """What is raised where a kubeconfig, or several by $KUBECONFIG, cannot be used."""
    return AccessError(f"the kubeconfig {paths} cannot be used: {why}")


def choose_context(paths: str, wanted: str | None) -> str:
    """The context to take of the files that a text names as $KUBECONFIG does, the first that has a thing having it.

    Raises AccessError where anything of what is needed of the context is missing, or any field is not what it is to be.
    """
    files = [each for path in paths.split(os.pathsep) if path and (each := _read(path)) is not None]
    if not files:
        raise AccessError(f"there is no kubeconfig {paths}")
    contexts = {each.name: each.context or _Context() for file in files[::-1] for each in (file.contexts or ())[::-1]}
    clusters = {each.name: each.cluster or _Cluster() for file in files[::-1] for each in (file.clusters or ())[::-1]}
    users = {each.name for file in files for each in file.users or ()}
    names = ", ".join(sorted(contexts)) or "none"
    chosen = wanted or next((file.current for file in files if file.current), "")
    if not chosen:
        raise unusable(paths, f"it has no current-context, and none of its contexts is asked for; it has {names}")
    if chosen not in contexts:
        raise AccessError(f"there is no context {chosen} in {paths}; it has {names}")
    cluster, user = contexts[chosen].cluster or "", contexts[chosen].user or ""
    if cluster not in clusters:
        why = f"the cluster {cluster}, which is not in it" if cluster else "no cluster"
        raise unusable(paths, f"its context {chosen} names {why}")
    server = clusters[cluster].server or ""
    if not _is_url(server):
        why = f"{shown(server)} as server, which is no http or https URL" if server else "no server"
        raise unusable(paths, f"its cluster {cluster} has {why}")
    if (user or server.startswith("https")) and user not in users:
        why = f"the user {user}, who is not in it" if user else "no user"
        raise unusable(paths, f"its context {chosen} names {why}")
    return chosen


@cache
def _adapter() -> TypeAdapter[_Kubeconfig]:
    return TypeAdapter(_Kubeconfig)


def _read(path: str) -> _Kubeconfig | None:
    """One of the files; None for one that is not there."""
    try:
        content = next(iter(load_documents(Path(path).expanduser().read_text())), None)
        return _adapter().validate_python({} if content is None else content)
    except BadYAML as error:
        place, sentence = describe(error)
        raise unusable(path, f"{place}: {sentence}" if place else sentence) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field, sentence = field_path(first), sentence_of(first, is_secret=True)
        raise unusable(path, f"{field} {sentence}" if field else f"it {sentence}") from error
    except UnicodeDecodeError as error:
        raise unusable(path, "it is not text in UTF-8") from error
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    except (ValueError, RuntimeError) as error:  # no path at all, or one of a user who is not there
        raise unusable(path, str(error)) from error


def _is_url(server: str) -> bool:
    try:
        parts = urlsplit(server)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
