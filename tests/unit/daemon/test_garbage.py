"""The collector of garbage."""

import subprocess
import sys

LOOK = """
import gc
from appliance.daemon.garbage import keep_what_is_there
kept = [[number] for number in range(100_000)]
before = len(gc.get_objects())
keep_what_is_there()
print(before > 100_000, len(gc.get_objects()) < 100, gc.get_freeze_count() > 100_000, gc.isenabled())
"""


def test_what_is_there_is_not_looked_at_again() -> None:
    """Collections go on for what comes after; in a process of its own, because nothing undoes it here."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 4
