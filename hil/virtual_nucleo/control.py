"""The verbs of the control door: what a person at the bench can do and see.

Each line is ``{"do": verb, ...}``. Times are virtual.

| verb | arguments | effect, answer |
|---|---|---|
| ``insert`` | ``uid``, ``power`` (default true) | board into the fixture; new ones are made |
| ``remove`` | | board out, power cut first; ``uid`` |
| ``boards`` | | ``uids`` in the drawer, ``inserted`` |
| ``power`` | ``on`` | supply on, or cut at once |
| ``cut_after`` | ``us`` | the supply goes by itself after that much more virtual time |
| ``reset`` | | press the button |
| ``run`` | ``ms`` | let the board go on |
| ``uart`` | ``run_ms`` (default 0), ``baud``, ``clear`` | ``text``, ``hex`` of what the virtual COM port has shown |
| ``led`` | | ``LD1``, ``LD2``, ``LD3`` |
| ``flash`` | ``start``, ``length`` | ``sha256`` of the cells, ``erased`` |
| ``read`` | ``start``, ``length`` | ``hex`` of the cells |
| ``wear`` | | since it was put in: ``erases`` of each sector, ``programmed`` bytes |
| ``faults`` | ``plan`` | fault plan (``wire_faults.py``) for the wire; ``happened``, ``transfers`` so far |
| ``time`` | | ``virtual_us``, ``swclk_cycles`` |
| ``stop`` | | the bench ends |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hil.virtual_nucleo import wire_faults
from hil.virtual_nucleo.bench import Bench
from hil.virtual_nucleo.board import LED_PINS
from hil.virtual_nucleo.faults import BenchError, DoorError
from hil.virtual_nucleo.flash_array import FLASH_SIZE

_Arguments = dict[str, Any]
_MAX_RUN_MS = 600_000


def _number(arguments: _Arguments, name: str, default: int, limit: int) -> int:
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise DoorError(f"{name} must be an integer from 0 to {limit}")
    return value


def _flag(arguments: _Arguments, name: str, *, default: bool) -> bool:
    value = arguments.get(name, default)
    if not isinstance(value, bool):
        raise DoorError(f"{name} must be true or false")
    return value


def _insert(bench: Bench, arguments: _Arguments) -> _Arguments:
    uid = arguments.get("uid")
    if not isinstance(uid, str):
        raise DoorError("uid must be a string")
    board = bench.insert(uid, power=_flag(arguments, "power", default=True))
    return {"uid": board.uid.hex()}


def _power(bench: Bench, arguments: _Arguments) -> _Arguments:
    if _flag(arguments, "on", default=True):
        bench.board.power_on()
    else:
        bench.board.power_off()
    return {}


def _cut_after(bench: Bench, arguments: _Arguments) -> _Arguments:
    bench.board.power_off_after(_number(arguments, "us", 0, _MAX_RUN_MS * 1000))
    return {}


def _reset(bench: Bench, _arguments: _Arguments) -> _Arguments:
    bench.board.press_reset()
    return {}


def _run(bench: Bench, arguments: _Arguments) -> _Arguments:
    bench.board.run_ms(_number(arguments, "ms", 0, _MAX_RUN_MS))
    return {}


def _uart(bench: Bench, arguments: _Arguments) -> _Arguments:
    bench.board.run_ms(_number(arguments, "run_ms", 0, _MAX_RUN_MS))
    baud = _number(arguments, "baud", 0, 10_000_000)
    data = bench.board.uart_output(baud=baud or None)
    if _flag(arguments, "clear", default=False):
        bench.board.clear_uart()
    return {"hex": data.hex(), "text": data.decode("ascii", "replace")}


def _range(arguments: _Arguments) -> tuple[int, int]:
    start = _number(arguments, "start", 0, FLASH_SIZE)
    return start, _number(arguments, "length", FLASH_SIZE - start, FLASH_SIZE - start)


def _flash(bench: Bench, arguments: _Arguments) -> _Arguments:
    start, length = _range(arguments)
    cells = bench.board.array.main[start : start + length]
    return {"sha256": bench.board.flash_sha256(start, length), "erased": cells == b"\xff" * length}


def _read(bench: Bench, arguments: _Arguments) -> _Arguments:
    start, length = _range(arguments)
    return {"hex": bench.board.array.main[start : start + length].hex()}


def _wear(bench: Bench, _arguments: _Arguments) -> _Arguments:
    flash = bench.board.soc.flash
    return {"erases": flash.erase_count, "programmed": flash.programmed_bytes}


def _time(bench: Bench, _arguments: _Arguments) -> _Arguments:
    return {"virtual_us": bench.board.soc.time.now // 10**6, "swclk_cycles": bench.port.cycles + bench.wire.cycles}


def _faults(bench: Bench, arguments: _Arguments) -> _Arguments:
    if "plan" in arguments:
        bench.wire.attach(wire_faults.from_json(arguments["plan"]))
    performance = bench.wire.performance
    happened = wire_faults.FaultPlan(performance.happened).to_json()
    return {"happened": happened, "transfers": bench.wire.slave.transfers}


def _boards(bench: Bench, _arguments: _Arguments) -> _Arguments:
    return {"uids": bench.known(), "inserted": bench.board.uid.hex() if bench.occupied else None}


_VERBS: dict[str, Callable[[Bench, _Arguments], _Arguments]] = {
    "insert": _insert,
    "remove": lambda bench, _: {"uid": bench.remove()},
    "boards": _boards,
    "power": _power,
    "cut_after": _cut_after,
    "reset": _reset,
    "run": _run,
    "uart": _uart,
    "led": lambda bench, _: {name: bench.board.led(name) for name in LED_PINS},
    "flash": _flash,
    "read": _read,
    "wear": _wear,
    "faults": _faults,
    "time": _time,
    "stop": lambda _bench, _: {},
}


def answer(bench: Bench, line: bytes) -> tuple[bytes, bool]:
    """Do what *line* asks; returns the answer's line and whether the bench shall end."""
    try:
        try:
            arguments = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DoorError("not a JSON object") from error
        verb = arguments.pop("do", None) if isinstance(arguments, dict) else None
        if not isinstance(verb, str) or verb not in _VERBS:
            raise DoorError(f"no such verb; there are {', '.join(_VERBS)}")
        reply = {"ok": True, **_VERBS[verb](bench, arguments)}
        return json.dumps(reply).encode(), verb == "stop"
    except BenchError as error:
        return json.dumps({"ok": False, "code": error.code, "error": str(error)}).encode(), False
