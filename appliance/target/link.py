"""The thin shell around pyOCD: one probe, one connection, memory and core of one target.

- The session takes nothing from the machine it runs on: no configuration file, no user script, no pack, no other
  target than the profile's. It never unlocks, and it connects under reset so that no old firmware runs.
- Whatever pyOCD, libusb or a probe plug-in raises comes out as one of `LinkError` (`named`).
- `cancel` is looked at between transfers.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.core.target import Target
from pyocd.probe.aggregator import DebugProbeAggregator

from appliance.target.boards.profile import BoardProfile
from appliance.target.errors import (
    Cancelled,
    DebuggerFault,
    ProbeLost,
    ProbeMissing,
    TargetError,
    TargetSilent,
)

_RESET_SETTLE_S = 0.005
_RESET_PATIENCE_S = 1.0

_OPTIONS: dict[str, Any] = {
    "auto_unlock": False,  # on, it mass-erases a locked target
    "cache.enable_memory": False,  # a measurement reads silicon, not a cache
    "cache.enable_register": False,
    "connect_mode": "under-reset",
    "enable_multicore_debug": False,
    "no_config": True,
    "reset.core_recover.timeout": _RESET_PATIENCE_S,
    "reset.dap_recover.timeout": _RESET_PATIENCE_S,
    "reset.halt_timeout": _RESET_PATIENCE_S,
    "reset.post_delay": _RESET_SETTLE_S,
    "resume_on_disconnect": False,  # a board that failed stays halted until it is released or loses power
    "rtos.enable": False,
    "smart_flash": False,
    "keep_unwritten": False,
}


class _StationSession(Session):  # type: ignore[misc]  # pyOCD has no annotations
    """A pyOCD session that finds no file: its look-up also covers user scripts, which no option turns off."""

    def find_user_file(self, option_name: str | None, filename_list: list[str]) -> str | None:  # noqa: ARG002
        return None


class _Hooks:
    """pyOCD's delegate: leaves out the register descriptions, which only a human at a debugger needs."""

    def will_init_target(self, target: object, init_sequence: Any) -> None:  # noqa: ARG002
        init_sequence.remove_task("load_svd")


@contextmanager
def named(stage: str) -> Iterator[None]:
    """Whatever goes wrong inside, as a `TargetError`; `stage` says during what."""
    try:
        yield
    except TargetError:
        raise
    except Exception as error:  # a probe plug-in may raise anything; the unit must still get its name
        raise _name_of(error)(stage=stage, reason=_reason(error)) from error


# The order matters: a memory fault is a transfer error from a device that does answer.
_NAMES: tuple[tuple[tuple[type[Exception], ...], type[TargetError]], ...] = (
    ((TimeoutError,), DebuggerFault),  # ours, of a core that does not halt; an OSError all the same
    ((exceptions.ProbeError, OSError), ProbeLost),
    ((exceptions.TransferFaultError,), DebuggerFault),
    ((exceptions.TransferError,), TargetSilent),
)


def _name_of(error: Exception) -> type[TargetError]:
    """By the error itself or what it came from: pyOCD wraps a silent wire into a general error when it connects."""
    known: BaseException | None = error
    while known is not None:
        for kinds, name in _NAMES:
            if isinstance(known, kinds):
                return name
        known = known.__cause__
    return DebuggerFault


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class Link:
    """An open connection to a halted target. Made by `connect`; every method may raise `TargetError`."""

    def __init__(self, session: Any, profile: BoardProfile, cancel: threading.Event | None) -> None:
        self.session = session
        self.profile = profile
        self._cancel = cancel

    @property
    def core(self) -> Any:
        """pyOCD's core object."""
        return self.session.target.primary_core

    def stop_if_cancelled(self, stage: str) -> None:
        """Raises `Cancelled` when somebody asked for it."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(stage=stage)

    def read32(self, address: int) -> int:
        return cast("int", self.core.read_memory(address, 32))

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes at `address`, read as whole words where they lie."""
        first = address & ~3
        words = self.core.read_memory_block32(first, (address + length - first + 3) // 4)
        raw = struct.pack(f"<{len(words)}I", *words)
        return raw[address - first : address - first + length]

    def write(self, address: int, data: bytes) -> None:
        """Whole words at a word's address."""
        assert not address % 4
        assert not len(data) % 4
        self.core.write_memory_block32(address, struct.unpack(f"<{len(data) // 4}I", data))

    def supply_mv(self) -> int | None:
        """The target's supply, if the probe measures it (ST-Links do, when they are opened)."""
        probe = self.session.probe
        for holder in (probe, getattr(probe, "_link", None)):
            volts = getattr(holder, "target_voltage", None)
            if isinstance(volts, int | float) and volts > 0:
                return round(volts * 1000)
        return None

    def call(self, registers: dict[str, int], timeout_s: float, stage: str) -> int:
        """Runs from `registers` (`pc`, `sp`, ...) until the core halts by itself; the program counter it halted at.

        Raises `TimeoutError` (a plain one, for the caller to name) after halting the core.
        """
        self.start(registers)
        return self.wait_halted(timeout_s, stage)

    def start(self, registers: dict[str, int]) -> None:
        """Lets the halted core run code of ours from `registers`."""
        core = self.core
        names = list(registers)
        core.write_core_registers_raw([*names, "xpsr"], [*(registers[n] for n in names), core.XPSR_THUMB])
        core.resume()

    def go_on_at(self, address: int) -> None:
        """Lets the halted core run on at `address`, with all else as it stopped."""
        self.core.write_core_register("pc", address)
        self.core.resume()

    def wait_halted(self, timeout_s: float, stage: str) -> int:
        """The program counter at which the core halted by itself. Raises as `call` does."""
        core = self.core
        deadline = time.monotonic() + timeout_s
        while not (status := core.read32(core.DHCSR)) & core.S_HALT:
            self.stop_if_cancelled(stage)
            if status & core.S_RESET_ST:  # sticky, cleared by each read: since our code was started (ARMv7-M C1.6.2)
                core.halt()
                raise DebuggerFault(stage=stage, reason="the device was reset while code of ours ran on it")
            if status & core.S_LOCKUP or time.monotonic() > deadline:
                core.halt()
                raise TimeoutError(f"DHCSR {status:#010x} instead of halted, at most {timeout_s} s after its start")
        return cast("int", core.read_core_register("pc"))

    def stop(self) -> None:
        """Halts the core if it can still be reached; for when something else has gone wrong already."""
        with suppress(Exception):
            self.core.halt()

    def reset_and_halt(self) -> None:
        """The core on its reset handler's first instruction, everything else as after a reset."""
        self.core.reset_and_halt()
        self.require_halted()

    def require_halted(self) -> None:
        """pyOCD only logs it when a core does not halt."""
        if self.core.get_state() is not Target.State.HALTED:
            raise DebuggerFault(stage="reset", reason="the core does not halt on reset")

    def run_from_reset(self) -> None:
        """The board starts as after power-on, and the debugger lets go of it."""
        for address in self.profile.debug_freeze_registers:
            self.core.write_memory(address, 0, 32)
        self.session.options["resume_on_disconnect"] = True
        self.core.reset()


def find_probe(probe_uid: str) -> Any:
    """The probe with this unique id, or `<plug-in>:<unique id>`. Raises `ProbeMissing`."""
    try:
        probe = DebugProbeAggregator.get_probe_with_id(probe_uid)
    except Exception as error:  # enumeration asks every plug-in; any fault there means: no probe
        raise ProbeMissing(probe=probe_uid, reason=_reason(error)) from error
    if probe is None:
        raise ProbeMissing(probe=probe_uid, reason="not found")
    return probe


@contextmanager
def connect(probe: Any, profile: BoardProfile, *, swclk_hz: int, cancel: threading.Event | None) -> Iterator[Link]:
    """One connection, from probe to halted core, closed at the end whatever happens. Raises `LinkError`."""
    with named("connect"):
        # The project directory is where the process already is: pyOCD changes into it.
        session = _StationSession(
            probe,
            options=_OPTIONS
            | {"frequency": swclk_hz, "target_override": profile.pyocd_target, "project_dir": os.getcwd()},  # noqa: PTH109  # pyOCD takes a str
        )
        session.delegate = _Hooks()
    link = Link(session, profile, cancel)
    try:
        with named("connect"):
            link.stop_if_cancelled("connect")
            try:
                session.open()
                link.require_halted()
            except Exception:
                _require_wire(session)
                raise
            # A fault in code of ours must halt the core, not run the handlers of whatever is in flash.
            link.core.set_vector_catch(Target.VectorCatch.HARD_FAULT)
        yield link
    finally:
        _close(session)


def _require_wire(session: Any) -> None:
    """Raises what is wrong with probe or wire, if anything: pyOCD logs much of it while it connects, and goes on."""
    if session.probe.is_open:
        session.target.dp.read_dp(0)


def _close(session: Any) -> None:
    """Closing cannot fail the unit: what had to be said about it was said before."""
    session.context_state.suppress_disconnect_error = True
    try:
        session.close()
    except Exception:  # noqa: BLE001, S110  # the probe may be gone; the error that matters is already on its way
        pass
