"""How programs log: one event a line on stderr."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any


class LogFormat(StrEnum):
    """The form of a line."""

    LOGFMT = "logfmt"
    JSON = "json"


LEVELS = ("debug", "info", "warning", "error")


@contextmanager
def _without_rich() -> Iterator[None]:
    """Let structlog find no rich, which it would draw tracebacks with: an agent that was killed is back sooner."""
    absent = "rich" not in sys.modules
    if absent:
        sys.modules["rich"] = None  # type: ignore[assignment]  # how Python is told that a module is not there
    try:
        yield
    finally:
        if absent:
            del sys.modules["rich"]


def configure_logging(level: str, form: LogFormat, program: str) -> None:
    """Let structlog and libraries' own loggers write to stderr, or, where that is its, to the journal with fields."""
    with _without_rich():
        import structlog

    number = logging.getLevelNamesMapping()[level.upper()]
    # Imported where it is a unit's: nobody else needs it.
    is_unit = "JOURNAL_STREAM" in os.environ
    stamps = [] if is_unit else [structlog.processors.TimeStamper(fmt="iso", utc=True)]
    order = ["timestamp", "level", "event"]
    logfmt = structlog.processors.LogfmtRenderer(key_order=order, drop_missing=True)
    renderer: Any = structlog.processors.JSONRenderer() if form is LogFormat.JSON else logfmt
    factory: Any = structlog.PrintLoggerFactory(sys.stderr)
    if is_unit:
        from appliance.daemon.journal import JournalLogger, JournalRenderer, journal_sender

        send = journal_sender()
        if send is not None:
            logger = JournalLogger(send)
            renderer, factory = JournalRenderer(renderer, f"pierhead-{program}"), lambda *_: logger
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *stamps,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, format=_LIBRARY_LINE)


_LIBRARY_LINE = 'level=%(levelname)s event=library_message logger=%(name)s text="%(message)s"'
