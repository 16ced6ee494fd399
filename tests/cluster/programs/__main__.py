"""Build the programs that `tests/cluster` needs, ahead of the tests; ends with 1 where that cannot be."""

import sys

from tests.cluster.programs import MODULES, ProgramsMissingError, prepare, program


def main() -> int:
    """Build what is missing, and say where everything is."""
    try:
        prepare(*MODULES)
    except ProgramsMissingError as error:
        print(f"pierhead: {error}", file=sys.stderr)
        return 1
    for module in MODULES:
        for name in module.packages:
            print(program(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
