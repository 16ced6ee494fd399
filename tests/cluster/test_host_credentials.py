"""A host's credentials on a real API server: made, used, renewed, ended, and made again."""

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.api.kind import Kind
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import HOSTS_NAMESPACE, Host, HostStatus
from appliance.api.refusal import StoreRefusal
from appliance.cli.main import main
from appliance.control.event import Events
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedSource, SiteFeed
from appliance.daemon.settings import HostSettings
from appliance.daemon.token import HostToken, TokenRenewal, host_token, open_host_store
from appliance.desired.feed import FEED_KINDS
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.open import open_store
from appliance.store.protocol import StoreError
from appliance.store.scope import Scope
from tests.cluster.control_plane import ControlPlane, ControlPlaneError
from tests.cluster.crd import install

DEADLINE_SECONDS = 180.0
# A kind that is forbidden is asked for again after 22 seconds at the earliest, once it was for long.
BACK_SECONDS = 20.0
FAILURES = 24  # of four watches together
ACCOUNTS = ("serviceaccounts", "roles", "rolebindings")


def allow_hosts(cluster: ControlPlane) -> None:
    """Give hosts their namespace and what every one of them may do, as the chart does it."""
    rules = [
        {"apiGroups": ["pierhead.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["pierhead.io"], "resources": ["hosts", "hosts/status"], "verbs": ["create", "patch"]},
    ]
    group = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Group",
        "name": f"system:serviceaccounts:{HOSTS_NAMESPACE}",
    }
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-credentials"}
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "test-credentials"}}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOSTS_NAMESPACE}})
    cluster.apply(
        {**rbac, "kind": "ClusterRole", "rules": rules},
        {**rbac, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [group]},
    )


@pytest.fixture(scope="module")
def cluster(site_kinds: ControlPlane) -> ControlPlane:
    """A cluster that has a place for hosts."""
    allow_hosts(site_kinds)
    return site_kinds


def credentials(cluster: ControlPlane, *arguments: str) -> Result:
    """`pierhead host-credentials` as the administrator."""
    return CliRunner().invoke(main, ["host-credentials", f"--store=kubernetes:{cluster.kubeconfig}", *arguments])


def made(cluster: ControlPlane, name: str, folder: Path) -> Path:
    """The kubeconfig of a host, once the server knows what the host may do: a moment after its rights were written."""
    path = folder / f"{name}.kubeconfig"
    result = credentials(cluster, name, f"--output={path}", "--ttl=10m")
    assert result.exit_code == 0, result.output
    deadline = time.monotonic() + DEADLINE_SECONDS
    for verb, resource in (("get", f"secret/{name}"), ("create", f"serviceaccounts/{name}/token")):
        while not may(cluster, path, verb, resource):
            assert time.monotonic() < deadline, f"{name} may not {verb} {resource}"
    return path


def may(cluster: ControlPlane, kubeconfig: Path, verb: str, resource: str) -> bool:
    """Whether a host may do something in the namespace of hosts, as the server says it."""
    kind, name, *part = resource.split("/")
    words = ("auth", "can-i", verb, f"{kind}/{name}", *(f"--subresource={each}" for each in part))
    try:
        cluster.kubectl(*words, f"--namespace={HOSTS_NAMESPACE}", kubeconfig=kubeconfig)
    except ControlPlaneError:
        return False
    return True


def settings(name: str, kubeconfig: Path, folder: Path) -> HostSettings:
    """A host's settings."""
    return HostSettings(host=name, store=f"kubernetes:{kubeconfig}", cache_directory=folder / "cache")


async def until(is_so: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            answer = is_so()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class Running:
    """What of an agent has to do with its credentials."""

    feed: SiteFeed
    token: HostToken
    store: KubernetesStore
    problems: list[str] = field(default_factory=list)


@asynccontextmanager
async def agent(here: HostSettings, share: tuple[float, float] = (0.6, 0.7)) -> AsyncIterator[Running]:
    """A host's feed and its token's renewal at work, the first one at once."""
    store, token = open_host_store(here, {Kind.SECRET: Scope((HOSTS_NAMESPACE,), here.host)})
    assert isinstance(store, KubernetesStore)
    assert token is not None
    feed = SiteFeed(FEED_KINDS, FeedCache(here.cache_directory / "feed.db"), Events(), on_change=lambda _: None)
    feed.load()
    running = Running(feed, token, store)

    def hear(problem: str) -> None:
        running.problems.append(problem)
        feed.take_token_problem(problem)

    renewal = TokenRenewal(
        token, store.connection, hear, first_seconds=(0.0, 0.0), share=share, retry_seconds=(0.05, 0.2)
    )
    async with asyncio.TaskGroup() as group:
        tasks = (
            group.create_task(feed.follow(store), name="feed"),
            group.create_task(feed.save_for_ever(), name="cache"),
            group.create_task(renewal.run(), name="token"),
        )
        yield running
        for task in tasks:
            task.cancel()


def test_a_kubeconfig_is_all_a_host_needs(cluster: ControlPlane, tmp_path: Path) -> None:
    """It is the host's own, for its owner's eyes, with the certificate in it, and it works."""
    path = made(cluster, "cred-a", tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = json.loads(cluster.kubectl("auth", "whoami", "-o", "json", kubeconfig=path))
    assert told["status"]["userInfo"]["username"] == f"system:serviceaccount:{HOSTS_NAMESPACE}:cred-a"
    mine = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cred-a", "namespace": HOSTS_NAMESPACE}}
    cluster.apply(mine, {**mine, "metadata": {"name": "cred-other", "namespace": HOSTS_NAMESPACE}})
    cluster.kubectl("get", "secret", "cred-a", kubeconfig=path)
    with pytest.raises(ControlPlaneError, match="Forbidden"):
        cluster.kubectl("get", "secret", "cred-other", kubeconfig=path)


def test_making_them_again_is_harmless(cluster: ControlPlane, tmp_path: Path) -> None:
    """Nothing that is there changes, and the token made before stays good."""
    path = made(cluster, "cred-b", tmp_path)
    versions = [cluster.kubectl("get", kind, "cred-b", "-n", HOSTS_NAMESPACE, "-o", "yaml") for kind in ACCOUNTS]
    result = credentials(cluster, "cred-b")
    assert (result.exit_code, "kind: Config" in result.output) == (0, True)
    assert versions == [
        cluster.kubectl("get", kind, "cred-b", "-n", HOSTS_NAMESPACE, "-o", "yaml") for kind in ACCOUNTS
    ]
    cluster.kubectl("get", "hosts", kubeconfig=path)


def test_many_hosts_have_a_file_each(cluster: ControlPlane, tmp_path: Path) -> None:
    """As a playbook asks for them; what is told holds no token."""
    names = [f"cred-many-{number}" for number in range(3)]
    result = credentials(
        cluster, *names, f"--directory={tmp_path / 'made'}", "--json", "--api-server=https://api.example:6443/"
    )
    told = json.loads(result.output)
    assert [entry["host"] for entry in told] == names
    for entry in told:
        text = Path(entry["file"]).read_text()
        assert "server: https://api.example:6443\n" in text
        token = text.partition("token: ")[2].split()[0]
        assert token not in result.output
        assert entry["ends"].endswith("+00:00")


def test_a_server_that_allows_less_is_told_of(make_control_plane: Callable[..., ControlPlane], tmp_path: Path) -> None:
    """The token is good for what the server allows, and the command says so."""
    cluster = make_control_plane("--service-account-max-token-expiration=1h")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOSTS_NAMESPACE}})
    result = credentials(cluster, "cred-l", f"--output={tmp_path / 'made'}")
    cluster.stop()
    assert (result.exit_code, "makes no token for 86400 s: these are good for 3600 s" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("UPPER",), 2, "'UPPER' is not a name"),
        (("a", "b"), 2, "several hosts need --directory"),
        (("a", "--output=x", "--directory=y"), 2, "write --output or --directory, not both"),
        (("a", "--revoke", "--output=x"), 2, "--revoke and --retire write no file"),
        (("a", "--retire", "--directory=x"), 2, "--revoke and --retire write no file"),
        (("a", "--ttl=5m"), 2, "no token for less than 600 s"),
        (("a", "--ttl=soon"), 2, "'soon' is not a duration"),
        (("a", "--store=directory:/x"), 2, "is no Kubernetes cluster"),
        (("a", "--store=kubernetes:/nowhere"), 2, "there is no kubeconfig /nowhere"),
    ],
)
def test_what_is_asked_wrongly_is_named(
    cluster: ControlPlane, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    """Before anything is made."""
    result = credentials(cluster, *arguments)
    assert (result.exit_code, sentence in result.output) == (code, True), result.output


def test_who_is_no_administrator_is_told_which_right_is_missing(cluster: ControlPlane, tmp_path: Path) -> None:
    """A host makes no other host."""
    path = made(cluster, "cred-c", tmp_path)
    result = CliRunner().invoke(main, ["host-credentials", f"--store=kubernetes:{path}", "cred-d"])
    assert (result.exit_code, "cannot patch resource" in result.output) == (1, True), result.output


async def test_revoking_ends_every_token(cluster: ControlPlane, tmp_path: Path) -> None:
    """Also those that were renewed since; doing it twice is harmless."""
    path = await asyncio.to_thread(made, cluster, "cred-e", tmp_path)
    store = open_store(f"kubernetes:{path}")
    await store.list(frozenset({Kind.HOST}))
    result = await asyncio.to_thread(credentials, cluster, "cred-e", "--revoke")
    assert (result.exit_code, "every token has ended" in result.output) == (0, True)

    async def is_refused() -> bool:
        try:
            await store.list(frozenset({Kind.HOST}))
        except StoreError as error:
            return "Unauthorized" in str(error)
        return False

    # The server remembers for some seconds that a token was good.
    await until(is_refused)
    again = await asyncio.to_thread(credentials, cluster, "cred-e", "--revoke")
    assert (again.exit_code, "nothing to revoke" in again.output) == (0, True)


def test_a_host_that_is_retired_leaves_nothing(cluster: ControlPlane, tmp_path: Path) -> None:
    """Neither account nor rights nor Host, of it alone; doing it twice is harmless."""
    made(cluster, "cred-n", tmp_path)
    made(cluster, "cred-o", tmp_path)
    host = {"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "spec": {}}
    cluster.apply(*({**host, "metadata": {"name": name}} for name in ("cred-n", "cred-o")))
    done = credentials(cluster, "cred-n", "--retire", "--json")
    assert json.loads(done.output) == [{"host": "cred-n", "revoked": True, "deleted": True}]
    for kind in (*ACCOUNTS, "hosts"):
        left = cluster.kubectl("get", kind, "-n", HOSTS_NAMESPACE, "-o", "name").split()
        assert [name.endswith("/cred-o") for name in left if "/cred-n" in name or "/cred-o" in name] == [True], kind
    again = credentials(cluster, "cred-n", "--retire")
    assert again.output == "cred-n: there was nothing to revoke; its Host was not there\n"


async def test_an_agent_renews_its_token_itself(cluster: ControlPlane, tmp_path: Path) -> None:
    """Long before it ends, again and again; what it was given is there for the next start, and for the forwarder."""
    path = await asyncio.to_thread(made, cluster, "cred-f", tmp_path)
    here = settings("cred-f", path, tmp_path)
    forwarder = host_token(here)
    assert forwarder is not None
    first = forwarder.token()
    kept = here.cache_directory / "token"
    # Tokens tell whole seconds: the second renewal is asked for once the first was a second ago.
    async with agent(here, share=(1 / 500, 1 / 500)) as running:
        await until(lambda: kept.exists() and kept.read_text() not in ("", first))
        second = kept.read_text()
        await until(lambda: kept.read_text() != second)
        await until(lambda: running.feed.source is FeedSource.LIVE)
    third = kept.read_text()
    assert (stat.S_IMODE(kept.stat().st_mode), running.problems) == (0o600, [])
    assert running.token.token() == third
    restarted = host_token(here)
    assert restarted is not None
    forwarder.refuse(first)
    assert (restarted.token(), forwarder.token()) == (third, third)
    found = running.token.current
    assert found is not None
    assert (found.account, found.life_seconds) == ("cred-f", 600)


async def test_a_host_writes_with_a_token_that_was_renewed(cluster: ControlPlane, tmp_path: Path) -> None:
    """The store takes the newest for each request."""
    here = settings("cred-g", await asyncio.to_thread(made, cluster, "cred-g", tmp_path), tmp_path)
    async with agent(here) as running:
        await until((here.cache_directory / "token").exists)
        host = Host(metadata=Metadata(name="cred-g"))
        await running.store.create(host, "test")
        await running.store.apply_status(Host(metadata=host.metadata, status=HostStatus(version="1")), "test")
        await until(lambda: Ref("Host", "", "cred-g") in running.feed.objects)


async def test_an_agent_whose_token_has_ended_goes_on_and_says_what_to_do(
    cluster: ControlPlane, tmp_path: Path
) -> None:
    """What it announces stays, over a restart as well; a new kubeconfig in the old one's place is taken without one."""
    path = await asyncio.to_thread(made, cluster, "cred-h", tmp_path)
    here = settings("cred-h", path, tmp_path)
    cluster.apply({"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "metadata": {"name": "cred-seen"}, "spec": {}})
    seen = Ref("Host", "", "cred-seen")
    async with agent(here, share=(1 / 500, 1 / 500)) as running:
        await until(lambda: running.feed.source is FeedSource.LIVE and running.feed.saved(seen) is not None)
        await asyncio.to_thread(credentials, cluster, "cred-h", "--revoke")
        # For some seconds the server remembers the account; then it does not know the token any more.
        await until(lambda: bool(running.problems) and "takes no token" in running.problems[-1])
        (problem,) = [text for text in running.feed.status().problems if "token" in text]
        assert "`pierhead host-credentials cred-h`" in problem
        assert str(path) in problem
        assert seen in running.feed.objects
    async with agent(here) as restarted:
        await until(lambda: bool(restarted.problems) and bool(restarted.problems[-1]))
        assert (restarted.feed.source, seen in restarted.feed.objects) == (FeedSource.CACHE, True)
        await asyncio.to_thread(made, cluster, "cred-h", tmp_path)
        await until(lambda: restarted.problems[-1] == "" and restarted.feed.source is FeedSource.LIVE)
        assert restarted.feed.status().problems == ()
        await restarted.store.create(Host(metadata=Metadata(name="cred-h")), "test")
        await until(lambda: Ref("Host", "", "cred-h") in restarted.feed.objects)


async def test_a_host_without_the_right_to_its_secret_has_a_feed(cluster: ControlPlane, tmp_path: Path) -> None:
    """It goes on with the passwords it knew, and says what it may not read; the right is taken up once it is given."""
    here = settings("cred-i", await asyncio.to_thread(made, cluster, "cred-i", tmp_path), tmp_path)
    cluster.kubectl("delete", "rolebinding", "cred-i", "-n", HOSTS_NAMESPACE)
    secret: Mapping[str, object] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "cred-i", "namespace": HOSTS_NAMESPACE},
        "stringData": {"tor": "open sesame"},
    }
    cluster.apply(secret)
    own = Ref("Secret", HOSTS_NAMESPACE, "cred-i")
    async with agent(here) as running:
        await until(lambda: running.feed.source is FeedSource.LIVE)
        assert any("secrets" in problem and "forbidden" in problem for problem in running.feed.status().problems)
        assert own not in running.feed.objects
        await asyncio.to_thread(made, cluster, "cred-i", tmp_path)
        await until(lambda: own in running.feed.objects)
        await until(lambda: running.feed.status().problems == ())


async def test_a_host_reads_its_own_secret_and_no_other(cluster: ControlPlane, tmp_path: Path) -> None:
    """Also where it asks the server for more than it may have."""
    path = await asyncio.to_thread(made, cluster, "cred-j", tmp_path)
    store = open_store(f"kubernetes:{path}", scopes={Kind.SECRET: Scope((HOSTS_NAMESPACE,), "cred-j")})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cred-j", "namespace": HOSTS_NAMESPACE}}
    cluster.apply(secret, {**secret, "metadata": {"name": "cred-k", "namespace": HOSTS_NAMESPACE}})
    listing = await store.list(frozenset({Kind.SECRET}))
    assert [ref.name for ref in listing.objects] == ["cred-j"]
    with pytest.raises(StoreError) as refused:
        await open_store(f"kubernetes:{path}").list(frozenset({Kind.SECRET}))
    assert refused.value.refusal is StoreRefusal.FORBIDDEN
    with suppress(StoreError):
        await store.get(Ref("Secret", HOSTS_NAMESPACE, "cred-k"))
        raise AssertionError("another host's Secret was read")


async def test_a_server_that_comes_back_is_heard_soon(
    make_control_plane: Callable[..., ControlPlane], tmp_path: Path
) -> None:
    """Though it was away for a while, and for a moment knows nobody's rights: it forbids then what it allows later."""
    cluster = make_control_plane()
    await asyncio.to_thread(install, cluster)
    await asyncio.to_thread(allow_hosts, cluster)
    path = await asyncio.to_thread(made, cluster, "cred-m", tmp_path)
    here = settings("cred-m", path, tmp_path)
    late = {"apiVersion": "pierhead.io/v1alpha1", "kind": "Host", "metadata": {"name": "cred-late"}, "spec": {}}
    async with agent(here) as running:
        await until(lambda: running.feed.source is FeedSource.LIVE)
        await asyncio.to_thread(cluster.kill)
        await until(lambda: running.store.connection.requests["watch", ""] > FAILURES)
        await asyncio.to_thread(cluster.start)
        await asyncio.to_thread(cluster.apply, late)
        async with asyncio.timeout(BACK_SECONDS):
            await until(lambda: Ref("Host", "", "cred-late") in running.feed.objects)
    await asyncio.to_thread(cluster.stop)
