"""The Secret of each host: the passwords of the sessions it is to run, and of no others.

A session's password is known, or it is not (its Secret is missing or unusable, its peer is wrong or cannot be read).
Where it is not, a host keeps the one it has.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from appliance.allocation.event import Write, WriteOperation
from appliance.api.core import Secret
from appliance.api.kind import ref_of
from appliance.api.label import HOSTNAME_LABEL, any_matches
from appliance.api.meta import Metadata
from appliance.api.pierhead import HOSTS_NAMESPACE, SESSION_PASSWORDS, Host
from appliance.config.peer import Sessions


def password_write(
    host: Host | None, present: Secret | None, sessions: Sessions, may_be_there: Callable[[str], bool]
) -> Write | None:
    """What brings a host's Secret to what it should hold, or away; None where it is as it should be.

    No `host` = it is gone. `may_be_there` says of a session that is not wanted whether its peer may exist all the same.
    """
    wanted = _passwords(host, present, sessions, may_be_there) if host else {}
    if present is None:
        if host is None or not wanted:
            return None
        metadata = Metadata(name=host.metadata.name, namespace=HOSTS_NAMESPACE)
        secret = Secret(metadata=metadata, type=SESSION_PASSWORDS, data=wanted)
        return Write(WriteOperation.CREATE, ref_of(secret), secret)
    is_ours = present.type == SESSION_PASSWORDS
    if not is_ours and not wanted:
        return None
    if not is_ours or not wanted:
        # Somebody else's makes way where it is in the way: Kubernetes changes no Secret's type.
        return Write(WriteOperation.DELETE, ref_of(present), version=present.metadata.resource_version)
    if present.data == wanted:
        return None
    return Write(WriteOperation.APPLY, ref_of(present), replace(present, data=wanted, string_data={}))


def _passwords(
    host: Host, present: Secret | None, sessions: Sessions, may_be_there: Callable[[str], bool]
) -> Mapping[str, bytes]:
    """By session; the labels that choose are those the host itself goes by."""
    labels = {HOSTNAME_LABEL: host.metadata.name, **host.metadata.labels}
    has = present.data if present and present.type == SESSION_PASSWORDS else {}
    passwords = {}
    for name in sorted(sessions.wanted.keys() | has.keys()):
        spec = sessions.wanted.get(name)
        if spec is None:
            is_kept, password = may_be_there(name), None
        else:
            is_kept = spec.has_password and any_matches(spec.node_selectors, labels)
            password = sessions.passwords.get(name) if is_kept else None
        if password is not None:
            passwords[name] = password.encode()
        elif is_kept and name in has:
            passwords[name] = has[name]
    return passwords
