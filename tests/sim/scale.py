"""How long the random tests run: a little by default, PIERHEAD_STEPS steps on request."""

import os

from hypothesis import HealthCheck, settings

STEPS_PER_EXAMPLE = 50


def scaled(default_steps: int, steps_per_example: int = STEPS_PER_EXAMPLE) -> settings:
    """Hypothesis settings for about as many steps."""
    steps = int(os.environ.get("PIERHEAD_STEPS", default_steps))
    return settings(
        max_examples=max(1, steps // steps_per_example),
        stateful_step_count=steps_per_example,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
