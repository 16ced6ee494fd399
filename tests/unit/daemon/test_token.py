"""Which token a host shows, and where it is kept."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from appliance.daemon.settings import HostSettings
from appliance.daemon.token import HostToken, Token, host_token, open_host_store, read_token
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.protocol import StoreError

HOUR = 3600.0


def jwt(given: float, *, account: str = "node-a", ends: float | None = None) -> str:
    """A token as an API server writes it, but for its signature."""
    claims = {"sub": f"system:serviceaccount:pierhead-hosts:{account}", "iat": given, "exp": ends or given + HOUR}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join((*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "x"))


def kubeconfig(path: Path, user: dict[str, str]) -> Path:
    """A kubeconfig with one user, and another of another context."""
    content = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "host"}},
            {"name": "there", "context": {"cluster": "c", "user": "other"}},
        ],
        "users": [{"name": "host", "user": user}, {"name": "other", "user": {"token": "another"}}],
    }
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path


def source(folder: Path, token: str) -> HostToken:
    """A host's token as its kubeconfig has it."""
    return HostToken(kubeconfig(folder / "kubeconfig", {"token": token}), "", folder / "token")


def token(text: str) -> Token:
    """A token that can be read."""
    found = read_token(text)
    assert found is not None
    return found


def test_a_token_says_whose_it_is_and_how_long_it_is_good() -> None:
    """As RFC 7519 writes it."""
    assert token(jwt(1000.0)) == Token(jwt(1000.0), "pierhead-hosts", "node-a", 1000.0, 1000.0 + HOUR)
    assert token(jwt(1000.0)).life_seconds == HOUR


@pytest.mark.parametrize(
    "text", ["", "abc", "a.b.c", "a..c", "a.e30.c", "a.bnVsbA.c", "a.W10.c", "é.é.é", "....", "a.\n.c"]
)
def test_what_is_no_token_of_a_host_is_none(text: str) -> None:
    """Whatever stands in a file."""
    assert read_token(text) is None


def test_the_newer_of_kubeconfig_and_what_was_kept_is_shown(tmp_path: Path) -> None:
    """A kubeconfig that was made anew wins over what was kept before, and the other way round."""
    old, new = jwt(1000.0), jwt(2000.0)
    assert source(tmp_path, old).token() == old
    source(tmp_path, old).keep(token(new))
    assert (source(tmp_path, old).token(), source(tmp_path, jwt(3000.0)).token()) == (new, jwt(3000.0))


def test_what_was_kept_of_another_account_is_passed_over(tmp_path: Path) -> None:
    """The disk was another host's, or the host has another name now."""
    source(tmp_path, jwt(1000.0)).keep(token(jwt(5000.0, account="node-b")))
    assert source(tmp_path, jwt(1000.0)).token() == jwt(1000.0)


def test_what_was_kept_may_be_read_by_those_who_may_read_the_kubeconfig(tmp_path: Path) -> None:
    """And by nobody else, also where it was written before; nothing else stays behind."""
    here = source(tmp_path, jwt(1000.0))
    modes = []
    for mode in (0o600, 0o640, 0o644, 0o660):
        here.kubeconfig.chmod(mode)
        here.keep(token(jwt(2000.0)))
        modes.append(stat.S_IMODE((tmp_path / "token").stat().st_mode))
    assert modes == [0o600, 0o640, 0o640, 0o640]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["kubeconfig", "token"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other groups")
def test_what_was_kept_is_of_the_kubeconfigs_group(tmp_path: Path) -> None:
    """By which the forwarder, under a user of its own, has it as well."""
    here = source(tmp_path, jwt(1000.0))
    os.chown(here.kubeconfig, -1, 12345)
    here.keep(token(jwt(2000.0)))
    assert (tmp_path / "token").stat().st_gid == 12345


def test_a_refused_token_has_both_files_read_anew(tmp_path: Path) -> None:
    """So a new kubeconfig, or what the agent was given meanwhile, is taken without a restart."""
    agent, forwarder = source(tmp_path, jwt(1000.0)), source(tmp_path, jwt(1000.0))
    assert forwarder.token() == jwt(1000.0)
    agent.keep(token(jwt(2000.0)))
    assert forwarder.token() == jwt(1000.0)
    forwarder.refuse(jwt(1000.0))
    assert (forwarder.token(), forwarder.is_refused, forwarder.is_new.is_set()) == (jwt(2000.0), False, True)
    forwarder.refuse(jwt(2000.0))
    assert (forwarder.token(), forwarder.is_refused) == (jwt(2000.0), True)
    kubeconfig(tmp_path / "kubeconfig", {"token": jwt(1500.0)})
    forwarder.refuse(jwt(2000.0))
    assert (forwarder.token(), forwarder.is_refused) == (jwt(1500.0), False)


def test_a_token_is_refused_once_where_another_is_good(tmp_path: Path) -> None:
    """What was kept is newer, but of an account that was made anew since: the kubeconfig's is tried."""
    here = source(tmp_path, jwt(1000.0))
    here.keep(token(jwt(2000.0)))
    here.refuse(jwt(2000.0))
    assert (here.token(), here.is_refused) == (jwt(1000.0), False)
    here.refuse(jwt(1000.0))
    assert (here.token(), here.is_refused) == (jwt(2000.0), True)


def test_a_file_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    """The other is shown; where there is none, nothing is."""
    here = source(tmp_path, jwt(1000.0))
    here.keep(token(jwt(2000.0)))
    here.kubeconfig.write_text("{")
    assert source_of(tmp_path).token() == jwt(2000.0)
    (tmp_path / "token").write_bytes(b"\xff")
    assert source_of(tmp_path).token() == ""


def source_of(folder: Path) -> HostToken:
    """A host's token, whatever its files hold."""
    return HostToken(folder / "kubeconfig", "", folder / "token")


def test_a_kubeconfig_that_comes_later_is_taken(tmp_path: Path) -> None:
    """Also where its token was asked for before, as the renewal does; which begins then."""
    here = source_of(tmp_path)
    assert (here.current, here.is_new.is_set()) == (None, False)
    kubeconfig(tmp_path / "kubeconfig", {"token": jwt(1000.0)})
    assert (here.token(), here.is_new.is_set()) == (jwt(1000.0), True)


def test_the_context_says_which_user_is_meant(tmp_path: Path) -> None:
    """As kubectl has it."""
    kubeconfig(tmp_path / "kubeconfig", {"token": jwt(1000.0)})
    assert HostToken(tmp_path / "kubeconfig", "there", tmp_path / "token").token() == "another"


def test_only_a_kubeconfig_with_a_token_in_it_has_a_source_of_tokens(tmp_path: Path) -> None:
    """One that is not there yet may have one; certificates, token files and other stores have their own ways."""
    path = tmp_path / "kubeconfig"

    def found(store: str) -> bool:
        return host_token(HostSettings(host="node-a", store=store, cache_directory=tmp_path)) is not None

    assert found(f"kubernetes:{path}")
    kubeconfig(path, {"client-certificate": "a.crt"})
    assert (found(f"kubernetes:{path}"), found(f"kubernetes:{path}?context=there")) == (False, True)
    kubeconfig(path, {"token": jwt(1000.0)})
    assert (found(f"kubernetes:{path}"), found("kubernetes:"), found("directory:/x")) == (True, False, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_kubeconfig_that_may_not_be_read_yet_may_have_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renewed from the moment the file may be read, as one that was not there is."""
    kubeconfig(tmp_path / "kubeconfig", {"token": jwt(1000.0)})
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    settings = HostSettings(host="node-a", store="kubernetes:kubeconfig", cache_directory=tmp_path)
    os.setresuid(65534, 65534, 0)
    try:
        found = host_token(settings)
        may_read = os.access("kubeconfig", os.R_OK)
    finally:
        os.setresuid(0, 0, 0)
    assert (may_read, found is not None) == (False, True)
    assert found is not None
    assert found.token() == jwt(1000.0)


def test_a_credential_of_the_unit_is_read_in_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings name the file, as every command on the host does; the program may not read that."""
    given = tmp_path / "credentials"
    given.mkdir()
    kubeconfig(given / "kubeconfig", {"token": jwt(1000.0)})
    settings = HostSettings(host="node-a", store=f"kubernetes:{tmp_path}/kubeconfig", cache_directory=tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    store, here = open_host_store(settings, {}, tmp_path / "kubeconfig")
    assert here is not None
    assert (here.token(), here.kubeconfig, here.takes_new_file) == (jwt(1000.0), tmp_path / "kubeconfig", False)
    assert isinstance(store, KubernetesStore)
    kubeconfig(tmp_path / "kubeconfig", {"token": jwt(1500.0)})
    here.refuse(jwt(1000.0))
    assert (here.token(), here.takes_new_file) == (jwt(1500.0), True)
    here.keep(token(jwt(2000.0)))
    assert source_of(tmp_path).token() == jwt(2000.0)


@pytest.mark.parametrize("name", ["new-cluster.kubeconfig", "kubeconfig"])
async def test_a_credential_stands_for_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The settings name another cluster; what the unit was given is the kubeconfig of the one before."""
    given = tmp_path / "credentials"
    given.mkdir()
    kubeconfig(given / "kubeconfig", {"token": jwt(9000.0)})
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    settings = HostSettings(host="node-a", store=f"kubernetes:{tmp_path}/{name}", cache_directory=tmp_path)
    store, _ = open_host_store(settings, {})
    assert isinstance(store, KubernetesStore)
    with pytest.raises(StoreError, match=f"{tmp_path}/{name}"):
        await store.connection.access()
    new = kubeconfig(tmp_path / name, {"token": jwt(1000.0)})
    cluster = {"name": "c", "cluster": {"server": "https://new.example"}}
    new.write_text(json.dumps({**json.loads(new.read_text()), "clusters": [cluster]}))
    store, here = open_host_store(settings, {})
    assert isinstance(store, KubernetesStore)
    assert here is not None
    assert (here.token(), (await store.connection.access()).server) == (jwt(1000.0), "https://new.example")
