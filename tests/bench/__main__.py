"""Every benchmark, one after the other, as one JSON document on standard output.

usage, as root: python -m tests.bench [NAME...]
"""

import argparse
import json
import subprocess
import sys

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "allocation": ("tests.bench.allocation", "--json"),
    "cluster": ("tests.bench.cluster",),
    "control": ("tests.bench.control",),
    "dashboard": ("tests.bench.dashboard",),
    "forward": ("tests.bench.forward",),
    "history": ("tests.bench.history",),
    "kubernetes": ("tests.bench.kubernetes",),
    "site": ("tests.bench.site",),
    "store": ("tests.bench.store",),
    "rest": ("tests.bench.rest",),
    "scrape": ("tests.bench.scrape",),
}
# They take a quarter of an hour and more: measured where they are named.
LONG: dict[str, tuple[str, ...]] = {"rollout": ("tests.bench.rollout",)}
NAMES = f"of {', '.join(BENCHMARKS)}, which are all where none is named, or {', '.join(LONG)}"


def measure(name: str) -> object:
    """One benchmark in a process of its own, so that none warms another's caches; raises CalledProcessError."""
    print(f"benchmark {name}", file=sys.stderr)
    module, *arguments = (BENCHMARKS | LONG)[name]
    # Not `run`, which kills at Ctrl-C: a benchmark takes away what it has built.
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE) as benchmark:
        printed, _ = benchmark.communicate()
    if benchmark.returncode:
        raise subprocess.CalledProcessError(benchmark.returncode, module)
    return json.loads(printed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=NAMES)
    chosen = parser.parse_args().names or list(BENCHMARKS)
    unknown = sorted(set(chosen) - set(BENCHMARKS | LONG))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    print(json.dumps({name: measure(name) for name in chosen}, indent=2))
