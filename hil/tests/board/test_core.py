"""The core: debug events, exceptions, faults, time (ARMv7-M B1.5, C1; Cortex-M4 TRM)."""

from __future__ import annotations

import pytest

from hil.tests.board.tools import (
    DEMCR,
    DHCSR,
    FLASH,
    S_HALT,
    S_LOCKUP,
    SRAM,
    Debugger,
    assemble,
    burn,
    vectors,
)
from hil.virtual_nucleo.board import Board

DFSR, AIRCR, CFSR, HFSR, VTOR = 0xE000ED30, 0xE000ED0C, 0xE000ED28, 0xE000ED2C, 0xE000ED08
FP_CTRL, FP_COMP0 = 0xE0002000, 0xE0002008
HALTED, BKPT, DWTTRAP, VCATCH = 1, 2, 4, 8
TABLE = SRAM + 0x400


def boot(board: Board, image: bytes) -> None:
    """Restart *board* with *image* at the beginning of flash."""
    board.power_off()
    burn(board, image)
    board.power_on()


def sram_word(board: Board, offset: int) -> int:
    return int.from_bytes(board.soc.sram[offset : offset + 4], "little")


# -- debug -------------------------------------------------------------------------------------------------------


def test_an_erased_board_locks_up(board: Board) -> None:
    debugger = Debugger(board)
    debugger.connect()
    assert debugger.read(DHCSR) & S_LOCKUP
    debugger.halt()
    assert debugger.register(15) == 0xFFFFFFFE
    assert not debugger.read(DHCSR) & S_LOCKUP


def test_bkpt_halts_and_says_why(debugger: Debugger) -> None:
    debugger.write(DFSR, 0x1F)
    assert debugger.run(assemble("movs r0, #42\n bkpt 0")) == 42
    assert debugger.read(DFSR) == BKPT
    assert debugger.register(15) == SRAM + 2


def test_bkpt_without_a_debugger_is_a_hard_fault(board: Board) -> None:
    code = assemble("bkpt 0", FLASH + 0x100)
    handler = assemble("ldr r0, =0x20000100\n ldr r1, =0xE000ED2C\n ldr r1, [r1]\n str r1, [r0]\n b .", FLASH + 0x200)
    boot(board, vectors(FLASH + 0x100, 0, FLASH + 0x200) + code + bytes(0x100 - len(code)) + handler)
    board.run_ms(1)
    assert sram_word(board, 0x100) == 1 << 31, "HFSR.DEBUGEVT"


def test_step_executes_one_instruction(debugger: Debugger) -> None:
    debugger.load(SRAM, assemble("movs r0, #1\n movw r1, #0x1234\n b .\n"))
    debugger.set_register(15, SRAM)
    debugger.set_register(16, 1 << 24)
    debugger.write(DFSR, 0x1F)
    debugger.step()
    assert (debugger.register(15), debugger.register(0)) == (SRAM + 2, 1)
    debugger.step()
    assert (debugger.register(15), debugger.register(1)) == (SRAM + 6, 0x1234)
    debugger.step()
    assert debugger.register(15) == SRAM + 6
    assert debugger.read(DFSR) == HALTED


@pytest.mark.parametrize("replace", [1, 2])
def test_breakpoint_unit_halts_before_the_instruction(debugger: Debugger, replace: int) -> None:
    # ARMv7-M C1.11.5: REPLACE selects the halfword
    burn(debugger.board, assemble("movs r0, #1\n movs r0, #2\n movs r0, #3\n bkpt 0", FLASH))
    debugger.write(FP_CTRL, 3)
    debugger.write(FP_COMP0, replace << 30 | FLASH | 1)
    result = debugger.run(assemble("movs r0, #0\n ldr r1, =0x08000001\n bx r1"))
    assert debugger.register(15) == FLASH + (0 if replace == 1 else 2)
    assert result == (0 if replace == 1 else 1)
    debugger.write(FP_COMP0, 0)
    debugger.resume()
    assert debugger.wait_halted()
    assert debugger.register(0) == 3


def test_breakpoints_need_the_unit_enabled_with_its_key(debugger: Debugger) -> None:
    burn(debugger.board, assemble("movs r0, #1\n bkpt 0", FLASH))
    debugger.write(FP_CTRL, 1)  # without KEY
    debugger.write(FP_COMP0, 1 << 30 | FLASH | 1)
    assert debugger.read(FP_CTRL) == 0x260
    assert debugger.run(assemble("ldr r1, =0x08000001\n bx r1")) == 1


@pytest.mark.parametrize(("function", "access"), [(5, "ldr r2, [r1]"), (6, "str r0, [r1]"), (7, "ldr r2, [r1]")])
def test_watchpoint_halts_after_the_access(debugger: Debugger, function: int, access: str) -> None:
    debugger.write(DEMCR, 1 << 24)
    debugger.write(0xE0001020, SRAM + 0x1000)
    debugger.write(0xE0001024, 2)
    debugger.write(0xE0001028, function)
    debugger.write(DFSR, 0x1F)
    debugger.run(assemble(f"ldr r1, =0x20001000\n movs r0, #5\n {access}\n 1: b 1b"))
    assert debugger.read(DFSR) == DWTTRAP
    assert debugger.read(0xE0001028) >> 24 & 1, "MATCHED"
    assert not debugger.read(0xE0001028) >> 24 & 1, "which reads once"


def test_reset_catch_halts_before_the_first_instruction(board: Board, debugger: Debugger) -> None:
    burn(board, vectors(FLASH + 0x100) + assemble("b .", FLASH + 0x100))
    debugger.resume()
    debugger.write(DEMCR, 1)
    debugger.write(DFSR, 0x1F)
    debugger.write(AIRCR, 0x05FA0004)
    assert debugger.read(DHCSR) & S_HALT
    assert debugger.read(DFSR) == VCATCH
    assert debugger.register(15) == FLASH + 0x100
    assert debugger.register(13) == SRAM + 0x10000


def test_reset_catch_under_the_reset_pin(board: Board, debugger: Debugger) -> None:
    burn(board, vectors(FLASH + 0x100) + assemble("b .", FLASH + 0x100))
    board.port.reset_pin(True)
    debugger.write(DEMCR, 1)
    debugger.resume()
    board.port.reset_pin(False)
    assert debugger.read(DHCSR) & S_HALT
    assert debugger.register(15) == FLASH + 0x100


def test_reset_needs_the_vector_key(debugger: Debugger) -> None:
    debugger.read(DHCSR)
    debugger.write(AIRCR, 0x12340004)
    assert not debugger.read(DHCSR) >> 25 & 1
    debugger.write(AIRCR, 0x05FA0004)
    assert debugger.read(DHCSR) >> 25 & 1, "S_RESET_ST"
    assert not debugger.read(DHCSR) >> 25 & 1, "which reads once"


def test_core_reset_spares_the_peripherals(debugger: Debugger) -> None:
    debugger.write(0x40023830, 2)
    debugger.write(AIRCR, 0x05FA0001)  # VECTRESET
    assert debugger.read(0x40023830) == 2
    debugger.write(AIRCR, 0x05FA0004)
    assert debugger.read(0x40023830) == 0


def test_debug_registers_survive_a_system_reset(debugger: Debugger) -> None:
    debugger.write(FP_COMP0, 1 << 30 | FLASH | 1)
    debugger.write(DEMCR, 1 << 24)
    debugger.board.press_reset()
    assert debugger.read(FP_COMP0) == 1 << 30 | FLASH | 1
    assert debugger.read(DEMCR) == 1 << 24


def test_halting_debug_needs_its_key(debugger: Debugger) -> None:
    debugger.write(DHCSR, 0x00000001)
    assert debugger.read(DHCSR) & S_HALT


def test_software_cannot_turn_on_halting_debug(board: Board) -> None:
    # ARMv7-M C1.6.2: C_DEBUGEN is the debugger's
    code = assemble(
        "ldr r0, =0xE000EDF0\n ldr r1, =0xA05F0003\n str r1, [r0]\n ldr r2, =0x20000100\n movs r3, #9\n"
        "str r3, [r2]\n b .",
        FLASH + 0x100,
    )
    boot(board, vectors(FLASH + 0x100) + code)
    board.run_ms(1)
    assert sram_word(board, 0x100) == 9


@pytest.mark.parametrize("selector", [*range(13), 14])
def test_general_registers_hold_what_a_debugger_writes(debugger: Debugger, selector: int) -> None:
    debugger.set_register(selector, 0xA5000000 + selector)
    assert debugger.register(selector) == 0xA5000000 + selector


def test_special_registers(debugger: Debugger) -> None:
    debugger.set_register(17, SRAM + 0x100)
    debugger.set_register(18, SRAM + 0x203)
    assert (debugger.register(17), debugger.register(18)) == (SRAM + 0x100, SRAM + 0x200)
    debugger.set_register(20, 0x02_00_40_01)
    assert debugger.register(20) == 0x02_00_40_01
    assert debugger.register(13) == SRAM + 0x200, "CONTROL.SPSEL selects the process stack"


def test_floating_point_registers_and_arithmetic(debugger: Debugger) -> None:
    debugger.set_register(64, 0x3FC00000)
    debugger.set_register(65, 0x40100000)
    debugger.run(assemble("vmul.f32 s2, s0, s1\n bkpt 0"))
    assert debugger.register(66) == 0x40580000  # 1.5 * 2.25 = 3.375


# -- exceptions --------------------------------------------------------------------------------------------------

FRAME = 0x20000800


def handler_image(main: str, **handlers: str) -> bytes:
    """Firmware: *main*, and handlers by vector number as ``v5="..."``; each ends in a loop of its own."""
    parts, entries = b"", [0] * 48
    for index, (name, source) in enumerate([("v1", main), *handlers.items()]):
        at = FLASH + 0x100 + 0x100 * index
        code = assemble(source + "\n .ltorg\n", at)
        assert len(code) <= 0x100
        parts += code + bytes(0x100 - len(code))
        entries[int(name[1:]) - 1] = at
    return vectors(*entries) + parts


NOTE = "ldr r0, =0x20000800\n mrs r1, ipsr\n str r1, [r0]\n str lr, [r0, #4]\n"


def test_supervisor_call_and_return(board: Board) -> None:
    boot(
        board,
        handler_image(
            "movs r4, #0x33\n svc 7\n ldr r0, =0x20000800\n str r4, [r0, #8]\n b .",
            v11=NOTE + "movs r4, #0x44\n bx lr",
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x800) == 11
    assert sram_word(board, 0x804) == 0xFFFFFFF9
    assert sram_word(board, 0x808) == 0x44


def test_exception_from_the_process_stack_returns_to_it(board: Board) -> None:
    boot(
        board,
        handler_image(
            "ldr r0, =0x20002000\n msr psp, r0\n movs r0, #2\n msr control, r0\n isb\n svc 1\n"
            "mov r1, sp\n ldr r0, =0x20000800\n str r1, [r0, #8]\n mrs r1, control\n str r1, [r0, #12]\n b .",
            v11=NOTE + "bx lr",
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x804) == 0xFFFFFFFD
    assert sram_word(board, 0x808) == 0x20002000
    assert sram_word(board, 0x80C) == 2


def test_entry_aligns_the_stack_and_return_undoes_it(board: Board) -> None:
    boot(
        board,
        handler_image(
            "sub sp, #4\n mov r5, sp\n svc 1\n mov r6, sp\n ldr r0, =0x20000800\n str r5, [r0, #8]\n"
            "str r6, [r0, #12]\n b .",
            v11=NOTE + "mov r1, sp\n str r1, [r0, #16]\n bx lr",
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x808) == sram_word(board, 0x80C)
    assert sram_word(board, 0x810) % 8 == 0


def test_timer_interrupt_counts_milliseconds_even_asleep(board: Board) -> None:
    boot(
        board,
        handler_image(
            "ldr r0, =0x20000800\n movs r1, #0\n str r1, [r0]\n ldr r0, =0xE000E010\n ldr r1, =15999\n"
            "str r1, [r0, #4]\n"
            "str r1, [r0, #8]\n movs r1, #7\n str r1, [r0]\n 1: wfi\n b 1b",
            v15="ldr r0, =0x20000800\n ldr r1, [r0]\n adds r1, #1\n str r1, [r0]\n bx lr",
        ),
    )
    board.run_ms(100)
    assert 98 <= sram_word(board, 0x800) <= 100
    assert board.soc.core.sleeping


def test_masked_interrupts_wait(board: Board) -> None:
    boot(
        board,
        handler_image(
            "cpsid i\n ldr r0, =0xE000ED04\n ldr r1, =1<<28\n str r1, [r0]\n ldr r2, =0x20000800\n movs r3, #1\n"
            "str r3, [r2, #8]\n nop\n cpsie i\n nop\n b .",
            v14="ldr r0, =0x20000800\n ldr r1, [r0, #8]\n str r1, [r0]\n bx lr",
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x800) == 1


def test_more_urgent_interrupt_preempts_and_the_other_finishes(board: Board) -> None:
    # IRQ0 (priority 0x80) pends IRQ1 (priority 0x40), which runs inside it
    boot(
        board,
        handler_image(
            "ldr r0, =0xE000E400\n movw r1, #0x4080\n strh r1, [r0]\n ldr r0, =0xE000E100\n movs r1, #3\n"
            "str r1, [r0]\n"
            "ldr r2, =0x20000800\n movs r3, #0\n str r3, [r2]\n adds r0, #0x80\n adds r0, #0x80\n"
            "movs r1, #1\n str r1, [r0]\n b .",
            v16="ldr r0, =0xE000E200\n movs r1, #2\n str r1, [r0]\n nop\n nop\n"
            "b 1f\n1: ldr r2, =0x20000800\n ldr r3, [r2]\n"
            "lsls r3, r3, #4\n adds r3, #1\n str r3, [r2]\n bx lr",
            v17="ldr r2, =0x20000800\n ldr r3, [r2]\n lsls r3, r3, #4\n adds r3, #2\n str r3, [r2]\n bx lr",
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x800) == 0x21


def test_undefined_instruction_escalates_to_hard_fault(board: Board) -> None:
    boot(board, handler_image("udf #1", v3=NOTE + "ldr r2, =0xE000ED28\n ldr r3, [r2]\n str r3, [r0, #8]\n b ."))
    board.run_ms(1)
    assert sram_word(board, 0x800) == 3
    assert sram_word(board, 0x808) == 1 << 16


def test_enabled_usage_fault_is_taken_as_itself(board: Board) -> None:
    boot(
        board,
        handler_image("ldr r0, =0xE000ED24\n ldr r1, =1<<18\n str r1, [r0]\n udf #1", v6=NOTE + "b ."),
    )
    board.run_ms(1)
    assert sram_word(board, 0x800) == 6


def test_branch_to_arm_state_is_invstate(board: Board) -> None:
    boot(
        board,
        handler_image(
            "ldr r0, =0x08000100\n bx r0", v3=NOTE + "ldr r2, =0xE000ED28\n ldr r3, [r2]\n str r3, [r0, #8]\n b ."
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x808) == 1 << 17


def test_fault_inside_hard_fault_locks_up(board: Board) -> None:
    boot(board, handler_image("udf #1", v3="udf #2"))
    board.run_ms(1)
    assert board.soc.core.lockup


def test_code_cannot_run_from_peripherals(debugger: Debugger) -> None:
    debugger.write(DEMCR, 1 << 10)
    debugger.run(assemble("ldr r0, =0x40020001\n bx r0"))
    assert debugger.read(CFSR) & 0xFF == 1, "IACCVIOL"


def test_hard_fault_catch_halts_at_the_fault(debugger: Debugger) -> None:
    debugger.write(DEMCR, 1 << 10)
    debugger.write(DFSR, 0x1F)
    debugger.run(assemble("nop\n udf #0"))
    assert debugger.read(DFSR) == VCATCH
    assert debugger.register(15) == SRAM + 2


def test_firmware_can_reset_itself(board: Board) -> None:
    boot(
        board,
        handler_image(
            "ldr r0, =0x20000800\n ldr r1, =0x40023874\n ldr r1, [r1]\n str r1, [r0]\n lsls r2, r1, #3\n bmi 1f\n"
            "ldr r0, =0xE000ED0C\n ldr r1, =0x05FA0004\n str r1, [r0]\n dsb\n 1: b 1b"
        ),
    )
    board.run_ms(1)
    assert sram_word(board, 0x800) >> 28 & 1


def test_starved_watchdog_resets(board: Board) -> None:
    # RM0402 20.3: LSI / 4, 12 ticks
    boot(
        board,
        handler_image(
            "ldr r0, =0x20000800\n ldr r1, =0x40023874\n ldr r1, [r1]\n str r1, [r0]\n ldr r0, =0x40003000\n"
            "movw r1, #0x5555\n"
            "str r1, [r0]\n movs r1, #12\n str r1, [r0, #8]\n movw r1, #0xAAAA\n str r1, [r0]\n"
            "movw r1, #0xCCCC\n str r1, [r0]\n b ."
        ),
    )
    board.run_ms(1)
    assert not sram_word(board, 0x800) >> 29 & 1
    board.run_ms(5)
    assert sram_word(board, 0x800) >> 29 & 1


def test_flash_interrupt_wakes_a_sleeping_core(board: Board) -> None:
    # from SRAM, so that the busy array does not stall it: copy, jump, erase sector 11, sleep
    erase = assemble(
        """
        ldr r1, =0x40023c00
        ldr r2, =0x45670123
        str r2, [r1, #4]
        ldr r2, =0xcdef89ab
        str r2, [r1, #4]
        ldr r2, =0x0101025a
        str r2, [r1, #0x10]
        wfi
        ldr r3, [r1, #0xc]
        ldr r0, =0x20000800
        str r3, [r0]
        bkpt 0
        """
    )
    debugger = Debugger(board)
    debugger.connect()
    debugger.halt()
    debugger.write(0xE000E100, 1 << 4)
    debugger.set_register(20, 1)  # PRIMASK: it wakes without a handler
    before = board.soc.time.now
    debugger.run(erase)
    assert sram_word(board, 0x800) & 1, "EOP"
    assert board.soc.time.now - before >= 1000 * 10**9


def test_vector_table_can_move(debugger: Debugger) -> None:
    debugger.load(TABLE, vectors(*[SRAM + 0x600] * 15))
    debugger.load(SRAM + 0x600, assemble("mrs r0, ipsr\n bkpt 0", SRAM + 0x600))
    debugger.write(VTOR, TABLE)
    assert debugger.run(assemble("svc 0\n nop")) == 11


# -- time --------------------------------------------------------------------------------------------------------


def test_the_same_run_takes_the_same_time() -> None:
    def once() -> tuple[int, int]:
        board = Board(bytes(12))
        board.power_on()
        debugger = Debugger(board)
        debugger.connect()
        debugger.run(assemble("movw r0, #5000\n 1: subs r0, #1\n bne 1b\n bkpt 0"))
        return board.soc.time.now, debugger.read(0xE0001004)

    assert once() == once()


def test_cycle_model_is_pessimistic_but_not_absurd(debugger: Debugger) -> None:
    # a loop of SUBS and a taken BNE: 1 + 1 + 1..3 cycles on silicon; ours 1 + 1 + 3 + 1 from SRAM
    debugger.write(DEMCR, 1 << 24)
    debugger.write(0xE0001004, 0)
    debugger.write(0xE0001000, 1)
    debugger.run(assemble("movw r0, #10000\n 1: subs r0, #1\n bne 1b\n bkpt 0"))
    assert 30_000 <= debugger.read(0xE0001004) <= 65_000


def test_core_goes_on_while_the_wire_is_busy(board: Board, debugger: Debugger) -> None:
    debugger.run(assemble("bkpt 0"))
    debugger.load(SRAM, assemble("movs r0, #0\n ldr r1, =0x20000800\n 1: adds r0, #1\n str r0, [r1]\n b 1b"))
    debugger.set_register(15, SRAM)
    debugger.resume()
    first = debugger.read(SRAM + 0x800)
    second = debugger.read(SRAM + 0x800)
    assert 0 < second - first < 10_000


def test_halting_waits_for_nothing(board: Board, debugger: Debugger) -> None:
    debugger.load(SRAM, assemble("b ."))
    debugger.set_register(15, SRAM)
    debugger.set_register(16, 1 << 24)
    debugger.resume()
    board.run_ms(3)
    debugger.halt()
    assert debugger.register(15) == SRAM


def test_hfsr_is_write_one_to_clear(debugger: Debugger) -> None:
    debugger.board.soc.core.scs.hfsr = 1 << 30
    debugger.write(HFSR, 1 << 30)
    assert debugger.read(HFSR) == 0
