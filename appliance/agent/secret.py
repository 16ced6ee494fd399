"""Which Secrets of the site the agent holds: its host's own, with the passwords of the sessions it is to run."""

from collections.abc import Callable, Mapping

from appliance.api.core import Secret
from appliance.api.kind import Object
from appliance.api.label import HOSTNAME_LABEL, any_matches
from appliance.api.meta import Ref
from appliance.api.pierhead import HOSTS_NAMESPACE, BGPSession
from appliance.daemon.feed import FeedChange, Objects
from appliance.desired.password import passwords_in_use


def own_passwords(
    host: str, labels_of: Callable[[], Mapping[str, str]]
) -> Callable[[FeedChange, Objects, Objects], FeedChange]:
    """What makes the change to what a host with some labels of its own holds: no other host's Secret is ever in it."""
    own_ref, host_ref = Ref("Secret", HOSTS_NAMESPACE, host), Ref("Host", "", host)
    known_labels = labels_of()

    def choose(change: FeedChange, told: Objects, held: Objects) -> FeedChange:
        nonlocal known_labels
        before_labels, known_labels = known_labels, labels_of()
        labels = known_labels
        registered = _labels(told.get(host_ref))
        is_concerned = any(isinstance(manifest, Secret | BGPSession) for manifest in (*change.changed, *change.removed))
        if not is_concerned and registered == _labels(held.get(host_ref)) and labels == before_labels:
            return change
        going_by = {HOSTNAME_LABEL: host, **registered, **labels}
        sessions = (manifest for manifest in told.values() if isinstance(manifest, BGPSession))
        before = _secret(held.get(own_ref))
        wanted = passwords_in_use(
            (session for session in sessions if any_matches(session.spec.node_selectors, going_by)),
            _secret(told.get(own_ref)),
            before,
        )
        changed = (wanted,) if wanted is not None and wanted != before else ()
        removed = (before,) if before is not None and wanted is None else ()
        strays = tuple(manifest for ref, manifest in held.items() if isinstance(manifest, Secret) and ref != own_ref)
        return FeedChange((*_others(change.changed), *changed), (*_others(change.removed), *removed, *strays))

    return choose


def _labels(host: Object | None) -> Mapping[str, str]:
    return host.metadata.labels if host else {}


def _secret(manifest: Object | None) -> Secret | None:
    return manifest if isinstance(manifest, Secret) else None


def _others(objects: tuple[Object, ...]) -> tuple[Object, ...]:
    return tuple(manifest for manifest in objects if not isinstance(manifest, Secret))
