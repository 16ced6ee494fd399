"""Every benchmark, one after the other, as one JSON document on standard output.

usage, as root: python -m tests.bench [NAME...]
"""

import argparse
import json
import subprocess
import sys

BENCHMARKS = {
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


def measure(name: str) -> object:
    """One benchmark in a process of its own, so that none warms another's caches; raises CalledProcessError."""
    print(f"benchmark {name}", file=sys.stderr)
    module, *arguments = BENCHMARKS[name]
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all where none is named")
    chosen = parser.parse_args().names or list(BENCHMARKS)
    unknown = sorted(set(chosen) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    print(json.dumps({name: measure(name) for name in chosen}, indent=2))
