"""What is wrong with something an operator wrote: a value that is collected, never raised."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from appliance.api.meta import Ref
from appliance.api.text import printable_path


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where an object was written: a file (or "-") and the number of its document, from 1."""

    file: str
    document: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the object (None where the text could not be read that far), the field's path, a sentence.

    As text it is one printable line, whatever its file is called.
    """

    ref: Ref | None
    path: str
    text: str
    source: Source | None = None

    def __str__(self) -> str:
        place = [self.source.file, str(self.source.document)] if self.source else []
        where = ":".join([*place, *([self.path] if self.path else [])])
        sentence = f"{self.ref}: {self.text}" if self.ref else self.text
        return printable_path(f"{where}: {sentence}" if where else sentence)


def locate(problem: Problem, sources: Mapping[Ref, Source]) -> Problem:
    """The same problem with the place its object was written at, where that is known."""
    if problem.source or problem.ref is None:
        return problem
    return replace(problem, source=sources.get(problem.ref))
