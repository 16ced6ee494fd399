"""The BGPSessions that hosts act upon, kept as operators' BGPPeers and BFDProfiles want them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from appliance.allocator.setting import MANAGER
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Metadata
from appliance.api.pierhead import BGPSession
from appliance.config.peer import sessions_of
from appliance.store.protocol import Store

SESSION_INPUTS = frozenset({"BGPPeer", "BFDProfile", "BGPSession"})


@dataclass(frozen=True, slots=True)
class Create:
    """A session of a new peer."""

    session: BGPSession


@dataclass(frozen=True, slots=True)
class Replace:
    """A session of a peer that changed."""

    session: BGPSession


@dataclass(frozen=True, slots=True)
class Delete:
    """A session whose peer is gone."""

    session: BGPSession


def session_writes(objects: Iterable[Object], is_complete: bool) -> Iterator[Create | Replace | Delete]:
    """What to write, by name, given every peer, profile and session; nothing is deleted where peers may be missing."""
    listed = tuple(objects)
    sessions = sessions_of(listed)
    present = {manifest.metadata.name: manifest for manifest in listed if isinstance(manifest, BGPSession)}
    for name in sorted(sessions.wanted.keys() | present.keys()):
        spec, session = sessions.wanted.get(name), present.get(name)
        if spec is not None and session is None:
            yield Create(BGPSession(metadata=Metadata(name=name), spec=spec))
        elif spec is not None and session is not None and session.spec != spec:
            yield Replace(replace(session, spec=spec))
        elif spec is None and session is not None and is_complete and name not in sessions.kept:
            yield Delete(session)


async def write(store: Store, change: Create | Replace | Delete) -> Object | None:
    """Make one write; the session as stored, None where it is deleted; raises StoreError."""
    match change:
        case Create(session):
            return await store.create(session, MANAGER)
        case Replace(session):
            return await store.apply(session, MANAGER)
        case Delete(session):
            await store.delete(ref_of(session), session.metadata.resource_version)
            return None
