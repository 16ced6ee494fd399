"""How the agent takes a picture of the site: a broken one never replaces what is good."""

from appliance.api.core import Secret
from appliance.api.pierhead import BGPSession
from appliance.control.message import FeedStatus
from appliance.desired.password import secrets_in_use
from appliance.host.intake import Intake
from appliance.store.picture import Snapshot


def take(intake: Intake, snapshot: Snapshot) -> None:
    """Take a snapshot; of the Secrets in it, and of those known before, only what sessions need."""
    objects = tuple(manifest for manifest in snapshot.objects.values() if not isinstance(manifest, Secret))
    secrets = secrets_in_use(
        (manifest for manifest in objects if isinstance(manifest, BGPSession)),
        (manifest for manifest in snapshot.objects.values() if isinstance(manifest, Secret)),
        (manifest for manifest in intake.objects if isinstance(manifest, Secret)),
    )
    intake.take((*objects, *secrets), snapshot.revision, tuple(str(problem) for problem in snapshot.problems))


def feed_status(intake: Intake) -> FeedStatus:
    """Where the feed comes from and how long nobody confirmed it."""
    return FeedStatus(
        source=intake.source.value,
        revision=intake.revision,
        age_seconds=intake.age_seconds,
        problems=intake.problems,
    )
