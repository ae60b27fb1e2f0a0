"""Writes `docs/errors.md` from the error classes: the page cannot say anything the program does not.

- One table a room, rooms and codes in order; the same classes always give the same bytes.
- Read are every room's `errors.py` (or `<topic>_errors.py`) and the modules that are no room; a refusal defined
  elsewhere would be missing here, and a test forbids it.
- Details of a particular refusal stand as `{name}` in the engineer's sentence, exactly as in the source.

Run as `python -m appliance.docgen docs/errors.md`; without an argument the page goes to standard output.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import appliance
from appliance.errors import ProoflineError

_HEADER = """\
# Refusals

Every "no" of Proofline has a code that never changes its meaning. This page is made from the error classes
(`make docs`); each refusal also carries these sentences itself, with `{details}` filled in.
"""
_COLUMNS = ("Code", "Name", "The operator is told", "The engineer is told", "What to do")


def error_classes() -> list[type[ProoflineError]]:
    """Every refusal with a code that the package's `errors` modules define, ordered by code."""
    for module in _error_modules():
        importlib.import_module(module)
    return sorted(set(_coded(ProoflineError)), key=lambda error: error.code)


def page(errors: Iterable[type[ProoflineError]]) -> str:
    """The Markdown page for `errors`."""
    rooms: dict[str, list[type[ProoflineError]]] = {}
    for error in errors:
        rooms.setdefault(error.__module__, []).append(error)
    return "\n".join([_HEADER, *(_section(module, rooms[module]) for module in sorted(rooms))])


def _error_modules() -> Iterator[str]:
    for found in pkgutil.iter_modules(appliance.__path__, "appliance."):
        if not found.ispkg:
            yield found.name
            continue
        room = Path(appliance.__path__[0], found.name.rpartition(".")[2])
        for path in sorted(room.rglob("*errors.py")):
            yield ".".join((found.name, *path.relative_to(room).with_suffix("").parts))


def _coded(branch: type[ProoflineError]) -> Iterator[type[ProoflineError]]:
    for error in branch.__subclasses__():
        if "code" in error.__dict__ and error.__module__.startswith("appliance."):
            yield error
        yield from _coded(error)


def _section(module: str, errors: list[type[ProoflineError]]) -> str:
    title = module.removeprefix("appliance.").removesuffix("errors").strip("._") or "every room"
    lines = [f"## {title}", "", _row(_COLUMNS), _row("---" for _ in _COLUMNS)]
    lines.extend(
        _row((f"`{error.code}`", error.__qualname__, error.operator, error.engineer, error.action)) for error in errors
    )
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def main(arguments: list[str]) -> int:
    text = page(error_classes())
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
