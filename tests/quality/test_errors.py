"""Every refusal can be read by the person it stops, and the page about refusals is the program's own."""

from __future__ import annotations

import ast
import string
from collections import Counter
from pathlib import Path

import pytest

from appliance.docgen import error_classes, page
from appliance.errors import CODE, ProoflineError

ROOT = Path(__file__).parents[2]


def code_assignments() -> list[tuple[str, str]]:
    """(file, code) of each class body in the tree that gives itself an error code, whether imported or not."""
    found = []
    for path in sorted([*ROOT.glob("appliance/**/*.py"), *ROOT.glob("hil/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for statement in node.body if isinstance(node, ast.ClassDef) else ():
                target = statement.targets[0] if isinstance(statement, ast.Assign) else None
                if isinstance(statement, ast.AnnAssign):
                    target = statement.target
                value = getattr(statement, "value", None)
                literal = value.value if isinstance(value, ast.Constant) else None
                if isinstance(target, ast.Name) and target.id == "code" and isinstance(literal, str) and literal:
                    found.append((path.relative_to(ROOT).as_posix(), literal))
    return found


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.code)
def test_a_refusal_has_words_for_everyone(error: type[ProoflineError]) -> None:
    assert CODE.fullmatch(error.code)
    for sentence in ("operator", "engineer", "action"):
        words = getattr(error, sentence)
        assert words == words.strip(), sentence
        assert len(words) >= 10, f"{sentence} is too short to help: {words!r}"
    for words in (error.operator, error.action):
        assert "{" not in words, f"operators are not shown templates: {words!r}"


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.code)
def test_reporting_a_refusal_never_fails(error: type[ProoflineError]) -> None:
    for _, field, specification, conversion in string.Formatter().parse(error.engineer):
        if field is not None:  # anything beyond a plain name can fail on the "?" of an undeclared detail
            assert field.isidentifier(), f"{error.code}: {{{field}}} is not a plain name"
            assert not specification, f"{error.code}: {{{field}}} carries a format"
            assert not conversion, f"{error.code}: {{{field}}} carries a conversion"


def test_codes_are_unique_across_rooms() -> None:
    counts = Counter(code for _, code in code_assignments())
    assert [code for code, count in counts.items() if count > 1] == []


def test_refusals_of_a_room_live_in_its_errors_modules() -> None:
    elsewhere = [
        where
        for where, _ in code_assignments()
        if where.count("/") > 1 and not where.endswith(("/errors.py", "_errors.py"))
    ]
    assert [where for where in elsewhere if where.startswith("appliance/")] == []


def test_one_room_has_one_prefix() -> None:
    rooms: dict[str, set[str]] = {}
    for where, code in code_assignments():
        rooms.setdefault(code.split("-")[1], set()).add(where)
    assert {prefix: sorted(where) for prefix, where in rooms.items() if len(where) > 1} == {}


def test_the_page_holds_every_code_in_the_tree() -> None:
    written = {error.code for error in error_classes()}
    assert {code for where, code in code_assignments() if where.startswith("appliance/")} == written


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page(error_classes()), "run: make docs"
