"""What is said of a kubeconfig that cannot be used: its path, and what is wrong with it."""

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.store.kubernetes.access import Access, load_access
from appliance.store.kubernetes.kubeconfig import AccessError, choose_context

CLUSTER = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
USER = {"name": "u", "user": {"token": "secret"}}
CONTEXT = {"name": "x", "context": {"cluster": "c", "user": "u"}}
GOOD = {"clusters": [CLUSTER], "users": [USER], "contexts": [CONTEXT], "current-context": "x"}


def but(**changed: object) -> str:
    """A kubeconfig in order but for what is changed."""
    return json.dumps(GOOD | {name.replace("_", "-"): content for name, content in changed.items()})


def with_cluster(**fields: object) -> str:
    """A kubeconfig whose cluster has other fields."""
    return but(clusters=[{"name": "c", "cluster": {name.replace("_", "-"): text for name, text in fields.items()}}])


def with_user(**fields: object) -> str:
    """A kubeconfig whose user has other fields."""
    return but(users=[{"name": "u", "user": {name.replace("_", "-"): content for name, content in fields.items()}}])


def refusal(path: Path, context: str | None = None) -> str:
    """What is said of a kubeconfig that cannot be used."""
    with pytest.raises(AccessError) as error:
        asyncio.run(load_access(path, context))
    return str(error.value)


NONSENSE = [
    ("", "it has no current-context, and none of its contexts is asked for; it has none"),
    ("5", "it must be a mapping"),
    ("[]", "it must be a mapping"),
    ("a: 1\n]\n", "line 2: not valid YAML: did not find expected key"),
    ("{" * 1000, "line 1: not valid YAML: it is nested too deeply"),
    ("\x00", "not valid YAML: unacceptable character"),
    (but(contexts=5), "contexts must be a list"),
    (but(contexts=[1, {"a": "b"}]), "contexts[0] must be a mapping"),
    (but(contexts=[{"a": "b"}]), "contexts[0].name is required"),
    (but(contexts=[{"name": "x"}]), "its context x names no cluster"),
    (but(contexts=[{"name": "x", "context": {"cluster": "d"}}]), "its context x names the cluster d, which is not in"),
    (but(contexts=[{"name": "x", "context": {"cluster": "c"}}]), "its context x names no user"),
    (but(users=[]), "its context x names the user u, who is not in it"),
    (but(users=None), "its context x names the user u, who is not in it"),
    (but(clusters=[{"name": "c", "cluster": {}}]), "its cluster c has no server"),
    (but(current_context=""), "it has no current-context, and none of its contexts is asked for; it has x"),
    (with_cluster(server="node-a"), "its cluster c has 'node-a' as server, which is no http or https URL"),
    (with_cluster(server="https://[::"), "its cluster c has 'https://[::' as server"),
    (with_cluster(server=CLUSTER), "clusters[0].cluster.server must be text"),
    (
        with_cluster(insecure_skip_tls_verify="maybe"),
        "clusters[0].cluster.insecure-skip-tls-verify must be true or false",
    ),
    (with_user(token=12345), "users[0].user.token must be text"),
    (with_user(exec=5), "users[0].user.exec must be a mapping"),
    (with_user(exec={}), "users[0].user.exec.command is required"),
    (with_user(auth_provider={"name": "oidc", "config": {"id-token": "a.b.c"}}), "its context x: Invalid base64"),
    (with_user(client_certificate="none", client_key="none"), "its context x: File does not exist"),
]


@pytest.mark.parametrize(("text", "sentence"), NONSENSE, ids=[sentence for _, sentence in NONSENSE])
def test_what_is_wrong_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    """The file, the field, and what is the matter with it; nothing that may be a secret."""
    path = tmp_path / "config"
    path.write_text(text)
    said = refusal(path)
    assert said.startswith(f"the kubeconfig {path} cannot be used: "), said
    assert sentence in said
    assert "12345" not in said


def test_what_is_no_file_of_text_is_named(tmp_path: Path) -> None:
    """A folder, bytes, nothing at all, and a name that no file has."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refusal(tmp_path) == f"the kubeconfig {tmp_path} cannot be used: Is a directory"
    assert refusal(tmp_path / "bytes") == f"the kubeconfig {tmp_path}/bytes cannot be used: it is not text in UTF-8"
    assert refusal(tmp_path / "loop").endswith("loop cannot be used: Too many levels of symbolic links")
    assert refusal(tmp_path / "none") == f"there is no kubeconfig {tmp_path}/none"
    assert "cannot be used: " in refusal(Path("~nobody-of-this-name/config"))
    assert "cannot be used: " in refusal(Path("a\0b"))


def test_a_context_is_looked_for_by_name(tmp_path: Path) -> None:
    """One that is not there is told with those that are."""
    path = tmp_path / "config"
    path.write_text(but())
    assert refusal(path, "y") == f"there is no context y in {path}; it has x"


def test_the_first_of_several_files_has_its_way(tmp_path: Path) -> None:
    """As kubectl merges them: the first of two things of one name; a missing file is none."""
    other = {"name": "y", "context": {"cluster": "none", "user": "u"}}
    (tmp_path / "a").write_text(but(users=[], contexts=[]))
    (tmp_path / "b").write_text(but(clusters=[], current_context="y", contexts=[CONTEXT, other]))
    paths = f"{tmp_path}/a:{tmp_path}/none:{tmp_path}/b"
    assert choose_context(paths, None) == "x"
    with pytest.raises(AccessError, match="its context y names the cluster none, which is not in it"):
        choose_context(paths, "y")


_TEXTS = st.sampled_from(
    ["", "a", "c", "u", "x", "/none", "https://127.0.0.1:1", "http://[", "::1", "é\n", "=", "oidc"]
)
_KEYS = st.sampled_from(
    [
        *("name", "cluster", "user", "context", "contexts", "clusters", "users", "current-context", "server", "é"),
        *("certificate-authority", "certificate-authority-data", "client-certificate", "client-key-data", "proxy-url"),
        *("token", "tokenFile", "auth-provider", "config", "id-token", "expiry", "username", "password", "exec"),
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=8,
)
_FIELDS = st.dictionaries(_KEYS, _VALUES, max_size=4)


@given(
    st.one_of(
        _VALUES,
        st.builds(lambda changed: GOOD | changed, _FIELDS),
        st.builds(lambda changed: GOOD | {"users": [{"name": "u", "user": changed}]}, _FIELDS),
        st.builds(
            lambda changed: GOOD | {"clusters": [{"name": "c", "cluster": {"server": "https://a", **changed}}]}, _FIELDS
        ),
    )
)
def test_nonsense_is_refused_or_taken(content: object) -> None:
    """Whatever stands in it, no other exception comes out than the one that names it."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "config")
        path.write_text(json.dumps(content))
        try:
            assert isinstance(asyncio.run(load_access(path, None)), Access)
        except AccessError as error:
            assert str(path) in str(error)  # noqa: PT017  # either is right
