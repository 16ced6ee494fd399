"""What foreign configuration becomes, and what is said about the rest."""

from pathlib import Path

import pytest

from appliance.api.manifest import parse, to_text
from appliance.config.compile import compile_config
from appliance.convert.conversion import Form, convert_text, form_of
from appliance.convert.model import Conversion

HERE = Path(__file__).parent
CASES = sorted(case for case in HERE.iterdir() if case.suffix in (".yaml", ".conf", ".data"))


def conversion_of(case: Path) -> Conversion:
    """A case converted as the command line does."""
    text = case.read_text()
    form = Form.DATA if case.suffix == ".data" else form_of(text)
    return convert_text(text, case.name, form)


def outcome(conversion: Conversion) -> str:
    """What is said and what is printed, in one text."""
    said = [f"# problem: {problem}\n" for problem in conversion.problems]
    said += [f"# left out: {left_out}\n" for left_out in conversion.left_out]
    return "".join(said) + ("" if conversion.problems else to_text(conversion.manifests))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_convert(case: Path) -> None:
    """Manifests, problems and what was left out are as reviewed."""
    assert (HERE / f"{case.name}.txt").read_text() == outcome(conversion_of(case))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_written_is_right(case: Path) -> None:
    """What is printed reads back as the same objects, without a problem."""
    conversion = conversion_of(case)
    if conversion.problems:
        return
    parsed = parse(to_text(conversion.manifests), case.name)
    read = tuple(document.manifest for document in parsed.documents)
    assert (parsed.problems, compile_config(read).problems) == ((), ())
    assert read == conversion.manifests
