"""The image's map of its boards' USB ports. `PROOFLINE_USB_CONFIG` names a JSON file:

`{"schema":1,"boards":{"raspberrypi,4-model-b":{"controller":"0000:01:00.0","intake":"1.3","own":{"1":"2109:3431"}}}}`

The first name of the machine's device tree `compatible` that is listed counts. A machine that is not listed has no map:
the gate runs, and every port is closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from appliance.evidence import strict_json
from appliance.evidence.errors import EvidenceError
from appliance.usbgate.errors import ConfigWrong, MachineUnknown
from appliance.usbgate.policy import Board

_CHAIN = re.compile(r"[1-9][0-9]?(\.[1-9][0-9]?){0,5}")
_ID = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})")
_CONTROLLER = re.compile(r"[A-Za-z0-9.:*-]{1,64}")


def parse(document: bytes, name: str) -> dict[str, Board]:
    """The boards in a document, or ConfigWrong."""
    try:
        value = strict_json.decode(document, max_bytes=65_536)
    except EvidenceError as error:
        _wrong(name, error.engineer_sentence())
    if not isinstance(value, dict) or value.keys() != {"schema", "boards"} or value["schema"] != 1:
        _wrong(name, "not an object of schema 1 with boards")
    boards = value["boards"]
    if not isinstance(boards, dict):
        _wrong(name, "boards is not an object")
    return {board: _board(entry, f"{name}, {board}") for board, entry in boards.items()}


def board_of(boards: dict[str, Board], machine: Sequence[str]) -> Board:
    """The map of a machine of these names; MachineUnknown."""
    for board in machine:
        if board in boards:
            return boards[board]
    raise MachineUnknown(machine=", ".join(machine) or "no name", known=", ".join(boards) or "none")


def _board(entry: object, name: str) -> Board:
    if not isinstance(entry, dict) or entry.keys() != {"controller", "intake", "own"}:
        _wrong(name, "a board has exactly controller, intake and own")
    controller, intake, own = entry["controller"], entry["intake"], entry["own"]
    if not isinstance(controller, str) or not _CONTROLLER.fullmatch(controller):
        _wrong(name, "controller is not a device's name")
    if not isinstance(own, dict):
        _wrong(name, "own is not an object")
    for chain in (intake, *own):
        if not isinstance(chain, str) or not _CHAIN.fullmatch(chain):
            _wrong(name, f"not a chain of ports: {chain!r}")
    if intake in own:
        _wrong(name, "the intake port is the board's own")
    chips = {chain: _chip(chip, name) for chain, chip in own.items()}
    return Board(controller, intake, chips)


def _chip(chip: object, name: str) -> tuple[int, int]:
    found = _ID.fullmatch(chip) if isinstance(chip, str) else None
    if found is None:
        _wrong(name, f"not a vendor and a product: {chip!r}")
    return int(found[1], 16), int(found[2], 16)


def _wrong(name: str, why: str) -> NoReturn:
    raise ConfigWrong(path=name, why=why)
