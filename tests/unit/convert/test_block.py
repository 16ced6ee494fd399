"""keepalived's text as a tree."""

from appliance.convert.block import Block, read_blocks


def tree(block: Block) -> object:
    """Words and children alone."""
    return " ".join(block.words), [tree(child) for child in block.children]


def test_nesting_and_comments() -> None:
    """Blocks nest, comments vanish, quotes hold words together."""
    root, problems = read_blocks('a 1 { # x\n b "c d"\n e {\n f\n }\n}\n! all of it\ng', "k")
    assert problems == ()
    assert tree(root) == ("", [("a 1", [("b c d", []), ("e", [("f", [])])]), ("g", [])])
    assert [child.line for child in root.children] == [1, 8]


def test_brace_on_its_own_line() -> None:
    """A brace belongs to the line before."""
    assert tree(read_blocks("a 1\n{\n b\n}", "k")[0]) == ("", [("a 1", [("b", [])])])


def test_everything_on_one_line() -> None:
    """Line ends mean nothing inside braces."""
    assert tree(read_blocks("a { b } c", "k")[0]) == ("", [("a", [("b", [])]), ("c", [])])


def test_line_for_one_host() -> None:
    """A line that is for one host only is read as for all."""
    assert tree(read_blocks("@node1 priority 5", "k")[0]) == ("", [("priority 5", [])])


def test_braces_that_do_not_pair() -> None:
    """Each is a problem at its line, and what can be read is read."""
    root, problems = read_blocks("}\na {\n b", "k")
    assert [problem.path for problem in problems] == ["line 1", "line 2"]
    assert tree(root) == ("", [("a", [("b", [])])])
