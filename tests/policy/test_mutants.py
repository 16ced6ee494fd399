"""The mutants that `make mutants` tries still fit the tree."""

from pathlib import Path

import pytest

from tests.policy.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_mutant_fits(mutant: Mutant) -> None:
    """Its text stands once in its file, and its test is there."""
    assert (ROOT / mutant.file).read_text().count(mutant.text) == 1
    file, _, name = mutant.test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
