"""How figures are summed up: medians and worst cases, with the machine they were taken on."""

import math
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

Figures = dict[str, list[float]]


def summary(seen: Sequence[float]) -> dict[str, float]:
    """Count, median, 99th percentile (nearest rank) and worst of some figures."""
    ordered = sorted(seen)
    return {
        "n": len(ordered),
        "median": round(statistics.median(ordered), 2),
        "p99": round(ordered[math.ceil(0.99 * len(ordered)) - 1], 2),
        "worst": round(ordered[-1], 2),
    }


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    models = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "bird": _first_line("bird", "--version"),
        "nftables": _first_line("nft", "--version"),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0]
