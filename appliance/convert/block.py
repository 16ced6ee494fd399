"""keepalived's configuration as a tree of blocks, whatever its keywords mean (keepalived.conf(5))."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.api.problem import Problem, Source

_WORD = re.compile(r'"([^"]*)"|([{}])|([^\s{}"]+)')
_COMMENT = re.compile(r"[#!].*$")


@dataclass(frozen=True, slots=True)
class Block:
    """A line of words, with what stands in the braces behind it."""

    words: tuple[str, ...]
    line: int
    children: tuple["Block", ...] = ()

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0]

    def named(self, *keywords: str) -> Iterator["Block"]:
        """The children that begin with one of some words."""
        return (child for child in self.children if child.keyword in keywords)

    def argument(self, keyword: str) -> str:
        """The word behind a child's keyword; empty where there is none."""
        return next((child.words[1] for child in self.named(keyword) if len(child.words) > 1), "")


@dataclass(slots=True)
class _Open:
    words: tuple[str, ...]
    line: int
    children: list[Block]

    def closed(self) -> Block:
        return Block(self.words, self.line, tuple(self.children))


def read_blocks(text: str, file: str) -> tuple[Block, tuple[Problem, ...]]:
    """The root of the tree, and braces that do not pair."""
    stack = [_Open(("",), 0, [])]
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not _read_line(line, number, stack):
            problems.append(Problem(None, f"line {number}", "closes a block that is not open", Source(file, 1)))
    while len(stack) > 1:
        unfinished = stack.pop().closed()
        stack[-1].children.append(unfinished)
        sentence = f"{' '.join(unfinished.words)} is never closed"
        problems.append(Problem(None, f"line {unfinished.line}", sentence, Source(file, 1)))
    return stack[0].closed(), tuple(problems)


def _read_line(line: str, number: int, stack: list[_Open]) -> bool:
    """Take one line up; False where it closes what is not open."""
    words: list[str] = []
    for quoted, brace, plain in _WORD.findall(_COMMENT.sub("", line)):
        if brace == "{":
            _open(tuple(words), number, stack)
            words = []
        elif brace == "}":
            _add(tuple(words), number, stack)
            words = []
            if len(stack) == 1:
                return False
            closed = stack.pop().closed()
            stack[-1].children.append(closed)
        elif not (plain.startswith("@") and not words):
            words.append(quoted or plain)
    _add(tuple(words), number, stack)
    return True


def _open(words: tuple[str, ...], number: int, stack: list[_Open]) -> None:
    """Begin a block; a brace on a line of its own belongs to the line before."""
    if words or not stack[-1].children:
        stack.append(_Open(words or ("",), number, []))
        return
    before = stack[-1].children.pop()
    stack.append(_Open(before.words, before.line, list(before.children)))


def _add(words: tuple[str, ...], number: int, stack: list[_Open]) -> None:
    if words:
        stack[-1].children.append(Block(words, number))
