"""The agent's and the forwarder's settings: one small YAML file, `/etc/pierhead/agent.yaml`."""

import json
import socket
from collections.abc import Mapping
from dataclasses import field, fields, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, TypeVar

import structlog
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_camel

from appliance.api.manifest import problems_of
from appliance.api.problem import Problem, Source
from appliance.api.text import HostName, InterfaceName
from appliance.api.value import value
from appliance.api.yaml import BadYAML, describe, load_documents
from appliance.control.listener import ListenAddress, parse_listen_address
from appliance.store.open import parse_store_url

T = TypeVar("T")

log = structlog.get_logger()

DEFAULT_PATH = Path("/etc/pierhead/agent.yaml")
# What a program exits with that cannot begin because of its settings (sysexits.h, EX_CONFIG): no restart mends them.
SETTINGS_EXIT_STATUS = 78


@value
class BirdSettings:
    """Where this host's BIRD is: its control socket, the file the agent writes, and its two programs.

    `main` is an operator's own configuration that includes `config`; None = `config` is all that BIRD reads. `bfd` says
    whether, beside it, the agent's part has the BFD protocol: False where the operator's configuration has one.
    """

    socket: Path = Path("/run/bird/bird.ctl")
    config: Path = Path("/etc/bird/bird.conf")
    main: Path | None = None
    bfd: bool = True
    bird: str = "bird"
    birdcl: str = "birdcl"


@value
class LivenessSettings:
    """How BFD watches other hosts: detection takes `interval_milliseconds` x `multiplier`."""

    interval_milliseconds: Annotated[int, Field(ge=10, le=60000)] = 50
    multiplier: Annotated[int, Field(ge=2, le=255)] = 3


def _own_name() -> str:
    """This machine's name as the kubelet writes it."""
    return socket.gethostname().lower()


def _parse_optional_listen_address(written: object) -> object:
    if written in ("", None):
        return None
    if not isinstance(written, str):
        raise ValueError("is not text; write it in quotes")
    return parse_listen_address(written)


def _check_store_url(written: str) -> str:
    parse_store_url(written)
    return written


_LISTEN_SCHEMA = WithJsonSchema({"type": "string", "examples": ["127.0.0.1:7472", "[::1]:7472", ":7472"]})
OptionalListenAddress = Annotated[ListenAddress | None, BeforeValidator(_parse_optional_listen_address), _LISTEN_SCHEMA]
StoreUrlText = Annotated[str, AfterValidator(_check_store_url)]


@value
class HostSettings:
    """Everything a host's programs are told; `interfaces` empty = every interface that can carry a VIP.

    `forwarder` says whether a forwarder runs beside the agent: where it does, the agent announces only what that has
    rules for; False where kube-proxy or a CNI delivers alone. At `metrics` the agent and at `forwarder_metrics` the
    forwarder answers Prometheus, `ADDRESS:PORT` or `:PORT` each; empty = only on its control socket.
    """

    host: Annotated[HostName, Field(validate_default=True)] = field(default_factory=_own_name)
    store: StoreUrlText = "directory:/etc/pierhead/site"
    run_directory: Path = Path("/run/pierhead")
    cache_directory: Path = Path("/var/lib/pierhead")
    interfaces: tuple[InterfaceName, ...] = ()
    forwarder: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    router_id: IPv4Address | None = None
    bird: BirdSettings = field(default_factory=BirdSettings)
    liveness: LivenessSettings = field(default_factory=LivenessSettings)
    metrics: OptionalListenAddress = None
    forwarder_metrics: OptionalListenAddress = None


class SettingsError(Exception):
    """The settings cannot be used; `problems` says why, one for each mistake."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_settings(path: Path) -> HostSettings:
    """Read the settings file of a host; raises SettingsError with every mistake in it."""
    return read_settings(path, HostSettings)


def read_settings(path: Path, kind: type[T]) -> T:
    """Read a file with one YAML document of a kind; raises SettingsError with every mistake in it."""
    source = Source(str(path), 1)
    try:
        documents = list(load_documents(path.read_text()))
    except OSError as error:
        raise SettingsError((Problem(None, "", f"cannot be read: {error.strerror}", source),)) from error
    except UnicodeDecodeError as error:
        raise SettingsError((Problem(None, "", "is not text in UTF-8", source),)) from error
    except BadYAML as error:
        where, sentence = describe(error)
        raise SettingsError((Problem(None, where, sentence, source),)) from error
    try:
        return TypeAdapter(kind).validate_python(documents[0] if documents and documents[0] else {})
    except ValidationError as error:
        raise SettingsError(problems_of(error, None, source)) from error


def settings_schema() -> str:
    """The JSON schema of the settings file."""
    return json.dumps(TypeAdapter(HostSettings).json_schema(by_alias=True), indent=2, default=str)


class LiveSettings:
    """A program's settings while it runs: `now` are in force, `problems` says why the file is not, if it is not.

    Of the fields that concern the program, `applied` are those that it takes at any time; the others in the file that
    differ from what is in force are `awaiting_restart`.
    """

    def __init__(self, path: Path, now: HostSettings, *, applied: frozenset[str], foreign: frozenset[str]) -> None:
        self._path = path
        self._applied = applied
        self._foreign = foreign
        self.now = now
        self.problems: tuple[str, ...] = ()
        self.awaiting_restart: tuple[str, ...] = ()

    def read_again(self) -> frozenset[str]:
        """Take the file as it is now, or, where anything in it is wrong, nothing of it; the fields in force anew."""
        try:
            written = load_settings(self._path)
        except SettingsError as error:
            self.problems = tuple(str(problem) for problem in error.problems)
            for problem in self.problems:
                log.error("settings_refused", problem=problem)
            return frozenset()
        differing = frozenset(
            each.name for each in fields(HostSettings) if getattr(written, each.name) != getattr(self.now, each.name)
        )
        changed = differing & self._applied
        self.now = replace(self.now, **{name: getattr(written, name) for name in changed})
        self.problems = ()
        self.awaiting_restart = tuple(sorted(map(to_camel, differing - self._applied - self._foreign)))
        log.info("settings_read", changed=sorted(map(to_camel, changed)), awaiting_restart=list(self.awaiting_restart))
        return changed

    def remarks(self) -> tuple[str, ...]:
        """What an operator is to know of them, a sentence each."""
        refused = (f"{self._path} is not in force: {'; '.join(self.problems)}",) if self.problems else ()
        waits = ", ".join(self.awaiting_restart)
        return (*refused, f"a restart will change {waits}") if waits else refused
