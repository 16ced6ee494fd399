"""Which Secrets of the site the agent holds: those that sessions name, each in its last good form."""

from appliance.api.core import Secret
from appliance.api.kind import Object, ref_of
from appliance.api.pierhead import BGPSession
from appliance.daemon.feed import FeedChange, Objects
from appliance.desired.password import secrets_in_use


def secrets_in_sessions(change: FeedChange, told: Objects, held: Objects) -> FeedChange:
    """The change to what is held: a Secret comes with the session that names it, and the last good one stays."""
    if not any(isinstance(manifest, Secret | BGPSession) for manifest in (*change.changed, *change.removed)):
        return change
    before = {ref: manifest for ref, manifest in held.items() if isinstance(manifest, Secret)}
    chosen = secrets_in_use(
        (manifest for manifest in told.values() if isinstance(manifest, BGPSession)),
        (manifest for manifest in told.values() if isinstance(manifest, Secret)),
        before.values(),
    )
    wanted = {ref_of(secret): secret for secret in chosen}
    changed = (secret for ref, secret in wanted.items() if before.get(ref) != secret)
    removed = (secret for ref, secret in before.items() if ref not in wanted)
    return FeedChange((*_others(change.changed), *changed), (*_others(change.removed), *removed))


def _others(objects: tuple[Object, ...]) -> tuple[Object, ...]:
    return tuple(manifest for manifest in objects if not isinstance(manifest, Secret))
