"""Exception entry and return of an ARMv7-M core: frames, vectors, EXC_RETURN (B1.5.6 to B1.5.8, B1.5.15)."""

from __future__ import annotations

from collections.abc import Callable

from unicorn import arm_const as arm

from hil.virtual_nucleo.bus import Bus
from hil.virtual_nucleo.exceptions import HARD_FAULT, NMI
from hil.virtual_nucleo.faults import BusFault

_CALLER_SAVED = tuple(getattr(arm, f"UC_ARM_REG_{name}") for name in ("R0", "R1", "R2", "R3", "R12", "LR"))
_FLOATS = tuple(getattr(arm, f"UC_ARM_REG_S{index}") for index in range(16))
_BASIC, _EXTENDED = 0x20, 0x68
_FPCA, _SPSEL = 1 << 2, 1 << 1
_XPSR_KEPT = ~0x0700FDFF
"""Entry clears IT/ICI, sets T and the exception number."""

Read = Callable[[int], int]
Write = Callable[[int, int], None]


def push(read: Read, write: Write, bus: Bus, vector_table: int, number: int) -> int:
    """Enter exception *number*: stack a frame, switch to handler mode; returns the vector. :raises BusFault:"""
    control, xpsr = read(arm.UC_ARM_REG_CONTROL), read(arm.UC_ARM_REG_XPSR)
    handler, floating = bool(xpsr & 0x1FF), bool(control & _FPCA)
    on_process_stack = not handler and bool(control & _SPSEL)
    sp = read(arm.UC_ARM_REG_SP)
    base = (sp - (_EXTENDED if floating else _BASIC)) & ~7
    words = [read(register) for register in _CALLER_SAVED]
    words += [read(arm.UC_ARM_REG_PC), xpsr & ~(1 << 9) | (sp & 4) << 7]
    if floating:
        words += [read(register) for register in _FLOATS] + [read(arm.UC_ARM_REG_FPSCR), 0]
    bus.write_words(base, b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in words))
    vector = bus.read(vector_table + 4 * number, 4)
    write(arm.UC_ARM_REG_SP, base)
    write(arm.UC_ARM_REG_CONTROL, control & ~_FPCA)
    write(arm.UC_ARM_REG_XPSR, xpsr & _XPSR_KEPT | 1 << 24 | number)
    returns = 0xFFFFFFF1 if handler else 0xFFFFFFFD if on_process_stack else 0xFFFFFFF9
    write(arm.UC_ARM_REG_LR, returns & ~0x10 if floating else returns)
    return vector


def pop(read: Read, write: Write, bus: Bus, active: list[int]) -> tuple[int, int, bool]:
    """Return from the current exception by the EXC_RETURN in the PC: (PC, xPSR, to thread mode). :raises BusFault:"""
    code = read(arm.UC_ARM_REG_PC) | 1
    number = read(arm.UC_ARM_REG_XPSR) & 0x1FF
    if number in active:
        active.remove(number)
    if number != NMI:
        write(arm.UC_ARM_REG_FAULTMASK, 0)
    to_process, floating = code & 0xF == 0xD, not code & 0x10
    stack = arm.UC_ARM_REG_PSP if to_process else arm.UC_ARM_REG_MSP
    base, size = read(stack), _EXTENDED if floating else _BASIC
    data = bus.read_words(base, size // 4)
    words = [int.from_bytes(data[index : index + 4], "little") for index in range(0, size, 4)]
    xpsr = words[7]
    after = base + size | (4 if xpsr & 1 << 9 else 0)
    control = read(arm.UC_ARM_REG_CONTROL) & ~_FPCA | _FPCA * floating
    to_thread = code & 0xF != 1
    if to_thread:
        control = control & ~_SPSEL | _SPSEL * to_process
    write(arm.UC_ARM_REG_XPSR, xpsr & ~(1 << 9))
    write(arm.UC_ARM_REG_CONTROL, control)
    write(stack, after)
    write(arm.UC_ARM_REG_SP, after)
    for register, value in zip(_CALLER_SAVED, words):
        write(register, value)
    if floating:
        for register, value in zip(_FLOATS, words[8:]):
            write(register, value)
        write(arm.UC_ARM_REG_FPSCR, words[24])
    return words[6], xpsr, to_thread


def cannot_escalate(number: int, active: list[int]) -> bool:
    """Whether a failure while entering *number* locks the core up (B1.5.15)."""
    return number <= HARD_FAULT or HARD_FAULT in active


__all__ = ["BusFault", "cannot_escalate", "pop", "push"]
