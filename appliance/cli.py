"""The command `proofline`: one door to the desk's, the auditor's and the technician's commands.

- A command's module is imported only when it is used: the base install has the verifier's dependencies and no others.
- Exit codes: 0 yes, 1 no, 2 could not be decided, 3 bad input. argparse's own usage errors are bad input too.
- A refusal is printed as it is meant to be read: code, what it means, what to do next.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from appliance import __version__
from appliance.errors import ProoflineError

BAD_INPUT = 3
_COMMANDS = {
    "verify": (
        "appliance.verify.cli",
        "check manifests, logs and measurements; needs no station, key or network",
        None,
    ),
    "release": ("appliance.release.cli", "the release desk: approve and promote what stations may flash", "release"),
    "image": ("appliance.card.cli", "check an image, make a station's site partition, write a card", None),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _Parser(prog="proofline", description="Programs boards on a factory line and proves what happened.")
    parser.add_argument("--version", action="version", version=f"proofline {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, (module, summary, extra) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"proofline {name}: {summary}.")
        if words[:1] == [name]:
            try:
                importlib.import_module(module).add_arguments(command)
            except ModuleNotFoundError as missing:
                if extra is None or str(missing.name).startswith("appliance"):
                    raise
                print(f"proofline {name} needs more: pip install 'proofline[{extra}]' ({missing})", file=sys.stderr)
                return BAD_INPUT
    parsed = parser.parse_args(words)
    try:
        return int(importlib.import_module(_COMMANDS[parsed.command][0]).run(parsed))
    except ProoflineError as refusal:
        print(f"{refusal.code}  {refusal.engineer_sentence()}\n  next: {refusal.action}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        # The reader (a pager, head) has seen enough; what is left must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
