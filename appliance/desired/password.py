"""The passwords of this host's BGP sessions: what its Secret holds, and what stands in for what is missing there."""

from collections.abc import Iterable
from dataclasses import replace

from appliance.api.core import Secret
from appliance.api.pierhead import SESSION_PASSWORDS, BGPSession, PasswordFault
from appliance.api.text import is_session_password

# On the Secret in this host's memory and cache, never in the store: the sessions whose entry is gone from the store.
_KEPT = "pierhead.io/kept"


def password_of(session: str, secret: Secret | None) -> tuple[str | None, PasswordFault | None]:
    """A session's password and what is wrong with it; None where there was never a good one."""
    password = secret.text(session) if secret and secret.type == SESSION_PASSWORDS else None
    if secret is None or not password:
        return None, PasswordFault.PASSWORD_MISSING
    if not is_session_password(password):
        return None, PasswordFault.PASSWORD_UNUSABLE
    return password, PasswordFault.PASSWORD_MISSING if session in _kept(secret) else None


def passwords_in_use(sessions: Iterable[BGPSession], now: Secret | None, before: Secret | None) -> Secret | None:
    """This host's Secret with an entry for each of its sessions that is to have a password, and for no other.

    What the store's Secret lacks stays as it was `before`, be that from this host's cache, and is marked as kept: so a
    password outlives a Secret that was taken away, also over a restart.
    """
    entries: dict[str, bytes] = {}
    kept = []
    for name in sorted(session.metadata.name for session in sessions if session.spec.has_password):
        if (found := _entry(name, now)) is not None:
            entries[name] = found
        elif (found := _entry(name, before)) is not None:
            entries[name] = found
            kept.append(name)
    secret = now or before
    if secret is None or not entries:
        return None
    marks = {_KEPT: ",".join(kept)} if kept else {}
    own = {key: text for key, text in secret.metadata.annotations.items() if key != _KEPT}
    metadata = replace(secret.metadata, annotations={**own, **marks})
    return replace(secret, metadata=metadata, type=SESSION_PASSWORDS, data=entries, string_data={})


def _entry(session: str, secret: Secret | None) -> bytes | None:
    password, _ = password_of(session, secret)
    return password.encode() if password is not None else None


def _kept(secret: Secret) -> list[str]:
    return secret.metadata.annotations.get(_KEPT, "").split(",")
