"""Random histories log nothing."""

import structlog


def silence() -> None:
    """Drop all but critical log events of this test session's allocators."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
