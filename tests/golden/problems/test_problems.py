"""What operators read of their mistakes."""

from pathlib import Path

import pytest

from appliance.config.report import check_texts, warning_text

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*.yaml"))


@pytest.mark.parametrize("manifest", CASES, ids=[case.stem for case in CASES])
def test_problems(manifest: Path) -> None:
    """Every line of a faulty file's report is as reviewed."""
    report = check_texts({manifest.name: manifest.read_text()})
    lines = [*map(str, report.problems), *map(warning_text, report.warnings)]
    assert manifest.with_suffix(".txt").read_text().splitlines() == lines
