"""How the agent takes a picture of the site: a broken one never replaces what is good."""

from appliance.api.core import Secret
from appliance.api.kind import Object
from appliance.api.metallb import BFDProfile, BGPPeer
from appliance.control.message import FeedStatus
from appliance.host.intake import Intake
from appliance.store.protocol import Snapshot


def take(intake: Intake, snapshot: Snapshot) -> None:
    """Take a snapshot; from an incomplete one only what programs write, whose absence always means something."""
    objects = tuple(snapshot.objects.values())
    if not snapshot.complete:
        kept = (manifest for manifest in intake.objects if _is_written_by_operators(manifest))
        objects = (*(manifest for manifest in objects if not _is_written_by_operators(manifest)), *kept)
    intake.take(objects, snapshot.revision, tuple(str(problem) for problem in snapshot.problems))


def feed_status(intake: Intake) -> FeedStatus:
    """Where the feed comes from and how long nobody confirmed it."""
    return FeedStatus(
        source=intake.source.value,
        revision=intake.revision,
        age_seconds=intake.age_seconds,
        problems=intake.problems,
    )


def _is_written_by_operators(manifest: Object) -> bool:
    return isinstance(manifest, BGPPeer | BFDProfile | Secret)
