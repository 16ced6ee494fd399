"""Passwords of BGP sessions: which Secret holds each, and what stands in for a Secret that cannot be used."""

from collections.abc import Iterable
from dataclasses import replace

from appliance.api.core import BASIC_AUTH, ObjectReference, Secret
from appliance.api.pierhead import BGPSession
from appliance.api.text import is_session_password
from appliance.bird.model import PasswordFault

# On a copy of a Secret in this host's memory and cache, never in the store.
_KEPT_BECAUSE = "pierhead.io/kept-because"
_FAULTS = {fault.value: fault for fault in PasswordFault}


def password_of(secret: Secret | None) -> tuple[str, PasswordFault | None]:
    """The password in a Secret and what is wrong with the Secret; no password where there was never a good one."""
    if secret is None:
        return "", PasswordFault.SECRET_MISSING
    kept_because = secret.metadata.annotations.get(_KEPT_BECAUSE)
    if kept_because in _FAULTS:
        return secret.text("password") or "", _FAULTS[kept_because]
    if secret.type != BASIC_AUTH:
        return "", PasswordFault.SECRET_OF_OTHER_TYPE
    password = secret.text("password")
    if not password:
        return "", PasswordFault.SECRET_WITHOUT_PASSWORD
    return (password, None) if is_session_password(password) else ("", PasswordFault.PASSWORD_UNUSABLE)


def secrets_in_use(
    sessions: Iterable[BGPSession], now: Iterable[Secret], before: Iterable[Secret]
) -> tuple[Secret, ...]:
    """The Secrets that sessions name, in order; for one that is gone or unusable the last good one, marked as kept.

    `before` is the last answer, be it from this host's cache: so a password outlives its Secret, also over a restart.
    """
    present, known = _by_name(now), _by_name(before)
    named = {session.spec.password_secret for session in sessions if session.spec.password_secret}
    chosen = (_chosen(present.get(name), known.get(name)) for name in sorted(named, key=str))
    return tuple(secret for secret in chosen if secret)


def _chosen(now: Secret | None, before: Secret | None) -> Secret | None:
    _, fault = password_of(now)
    password, _ = password_of(before)
    if fault is None or before is None or not password:
        return now
    annotations = {**before.metadata.annotations, _KEPT_BECAUSE: fault.value}
    return replace(before, metadata=replace(before.metadata, annotations=annotations))


def _by_name(secrets: Iterable[Secret]) -> dict[ObjectReference, Secret]:
    return {
        ObjectReference(namespace=secret.metadata.namespace, name=secret.metadata.name): secret for secret in secrets
    }
