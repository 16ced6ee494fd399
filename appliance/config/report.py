"""Everything that is wrong with some texts, each mistake with its place."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from appliance.api.kind import Object, ref_of
from appliance.api.manifest import Document, Parsed, parse
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source, locate
from appliance.config.compile import compile_config


@dataclass(frozen=True, slots=True)
class Report:
    """Problems and warnings by place, how many objects were read, and how many of other kinds were passed over."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    objects: int = 0
    passed_over: int = 0


Judge = Callable[[Iterable[Object]], Iterable[Problem]]


def check_texts(texts: Mapping[str, str], judge: Judge = lambda _: (), warn: Judge = lambda _: ()) -> Report:
    """Read all texts, by file name, and judge them as one configuration; warnings wait until all can be read.

    `judge` and `warn` have a say too: what annotations and Services mean is known above this layer.
    """
    parsed = [parse(text, file) for file, text in sorted(texts.items())]
    documents = [document for part in parsed for document in part.documents]
    first = _first_of_each(documents)
    sources = {ref: document.source for ref, document in first.items()}
    manifests = tuple(document.manifest for document in first.values())
    compiled = compile_config(manifests)
    problems = [
        *(problem for part in parsed for problem in part.problems),
        *_repeated(documents, first),
        *(locate(problem, sources) for problem in _beside(compiled.problems, parsed)),
        *(locate(problem, sources) for problem in judge(manifests)),
    ]
    is_complete = not any(part.problems for part in parsed)
    told = (*compiled.warnings, *warn(manifests)) if is_complete else ()
    warnings = [locate(warning, sources) for warning in told]
    return Report(_by_place(problems), _by_place(warnings), len(first), sum(len(part.passed_over) for part in parsed))


def warning_text(warning: Problem) -> str:
    """A warning in the form of a problem, marked as what it is."""
    return str(replace(warning, ref=None, text=f"warning: {warning.ref}: {warning.text}"))


def _first_of_each(documents: Iterable[Document]) -> dict[Ref, Document]:
    first: dict[Ref, Document] = {}
    for document in documents:
        first.setdefault(ref_of(document.manifest), document)
    return first


def _repeated(documents: Iterable[Document], first: Mapping[Ref, Document]) -> Iterable[Problem]:
    for document in documents:
        ref = ref_of(document.manifest)
        if first[ref] is not document:
            where = _place(first[ref].source)
            yield Problem(ref, "metadata.name", f"is written in {where} already", document.source)


def _place(source: Source) -> str:
    return f"{source.file}:{source.document}"


def _beside(problems: Iterable[Problem], parsed: Iterable[Parsed]) -> Iterable[Problem]:
    """Problems that are not the mere echo of another: references to an object that could not be read."""
    unread = {problem.ref.name for part in parsed for problem in part.problems if problem.ref}
    return (problem for problem in problems if not _names_one_of(problem, unread))


def _names_one_of(problem: Problem, names: Iterable[str]) -> bool:
    return problem.text.startswith("there is no ") and any(f" {name!r}" in problem.text for name in names)


def _by_place(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.source or Source("", 0)))
