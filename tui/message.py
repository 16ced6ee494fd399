"""What the worker tells the dashboard."""

from textual.message import Message

from appliance.overview.action import Action, Replan
from appliance.overview.site import Site, Touched
from appliance.overview.timeline import EventRow


class SiteChanged(Message):
    """Rows of the site may be other than before; several in a row are one."""

    def __init__(self, site: Site, touched: Touched) -> None:
        super().__init__()
        self.site = site
        self.touched = touched

    def can_replace(self, message: Message) -> bool:
        """Give way to a later one, which tells of these rows too then."""
        if isinstance(message, SiteChanged):
            message.touched.add(self.touched)
            return True
        return False


class SourceTold(Message):
    """A part of the source (`store`, `agent`) cannot be asked, and why; "" once it can."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__()
        self.part = part
        self.why = why


class ServiceExplained(Message):
    """What was found out about the way to a Service (`namespace/name`)."""

    def __init__(self, service: str, lines: tuple[str, ...]) -> None:
        super().__init__()
        self.service = service
        self.lines = lines


class ActionEnded(Message):
    """An action was asked for; `why` says why it was not taken, "" where it was."""

    def __init__(self, action: Action, why: str) -> None:
        super().__init__()
        self.action = action
        self.why = why


class ReplanMade(Message):
    """The site was planned anew; `why` says why it could not be, "" where it was."""

    def __init__(self, action: Replan, why: str) -> None:
        super().__init__()
        self.action = action
        self.why = why


class HistoryRead(Message):
    """What hosts keep of a subject, the oldest first, and a sentence for each host that could not be asked."""

    def __init__(self, subject: str, rows: tuple[EventRow, ...], problems: tuple[str, ...]) -> None:
        super().__init__()
        self.subject = subject
        self.rows = rows
        self.problems = problems
