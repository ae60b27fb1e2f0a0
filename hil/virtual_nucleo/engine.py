"""Unicorn as this board's instruction engine: memory maps, callbacks, breakpoints, and the cycle meter's hook.

* Memories are mapped from the model's own buffers; flash and system memory are read-only to Unicorn, and every store
  to them goes to the bus, as do all peripheral accesses.
* Unicorn carries such a store out once the bus has had it. Where the cells took something else (a bit that was 0
  already, a refused write) they get it back before the next access to a register, at the latest at the next block.
* A bus error inside a callback stops the engine with the PC at the faulting instruction. Anything else that must stop
  it goes through the meter, at the next block: stopping a memory callback otherwise repeats its instruction.
* An exception of ours inside a callback surfaces from :meth:`Engine.run`; none is lost.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import unicorn
from unicorn import arm_const as arm
from unicorn.unicorn_py3.unicorn import uclib

from hil.virtual_nucleo.bus import PPB, SRAM_BASE, SRAM_SIZE, SYSTEM_BASE, SYSTEM_SIZE, WINDOWS, Bus
from hil.virtual_nucleo.cycles import CodeRegion, CycleMeter
from hil.virtual_nucleo.faults import BusFault
from hil.virtual_nucleo.flash_array import FLASH_BASE, FLASH_SIZE

NO_ADDRESS = 0xFFFFFFFF
INTERRUPT_SVC, INTERRUPT_BKPT, INTERRUPT_EXIT = 2, 7, 8
"""Unicorn's numbers for what it hands to UC_HOOK_INTR on M-profile cores."""

_READ_EXEC = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
_REGISTER_READ = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p)
_REGISTER_WRITE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_uint64, ctypes.c_void_p
)
_STORE = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_uint64,
    ctypes.c_int,
    ctypes.c_int64,
    ctypes.c_void_p,
)


class Engine:
    """A Unicorn engine wired to *bus*; results of a run are in ``fault``, ``interrupt``, ``hit`` and ``watched``."""

    def __init__(self, bus: Bus, sram: Any, system: Any) -> None:
        self._bus = bus
        self.fault: int | None = None
        """Address of the access that ended the run with a bus error."""
        self.interrupt: int | None = None
        """Unicorn's number of the exception that ended it."""
        self.hit: int | None = None
        """Address of the breakpoint that ended it."""
        self.watched: int | None = None
        """Comparator of the watchpoint that matched."""
        self._error: BaseException | None = None
        self._owed: list[tuple[Any, int, bytes]] = []
        """What memory must hold where Unicorn stores something else: buffer, offset, contents."""
        self._keep: list[Any] = []
        self._breakpoints: dict[int, int] = {}
        self._watchpoints: list[int] = []
        self._flash_mapped = False
        self._alias: str | None = None
        self.uc = uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self.read_register: Callable[[int], int] = uc.reg_read
        self.write_register: Callable[[int, int], None] = uc.reg_write
        self._handle = uc._uch  # raw callbacks cost half of the wrapped ones
        self._hosts = {
            name: ctypes.addressof(ctypes.c_char.from_buffer(buffer))
            for name, buffer in (("flash", bus.flash.array.main), ("sram", sram), ("system", system))
        }
        self._buffers = {"flash": bus.flash.array.main, "sram": sram, "system": system}
        self._sizes = {"flash": FLASH_SIZE, "sram": SRAM_SIZE, "system": SYSTEM_SIZE}
        uc.mem_map_ptr(SRAM_BASE, SRAM_SIZE, unicorn.UC_PROT_ALL, self._hosts["sram"])
        uc.mem_map_ptr(SYSTEM_BASE, SYSTEM_SIZE, _READ_EXEC, self._hosts["system"])
        for start, size in (*WINDOWS, (0x22000000, SRAM_SIZE * 32), (0x42000000, 0x2000000), PPB):
            self._map_registers(start, size)
        self._hook_stores()
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(
            unicorn.UC_HOOK_MEM_READ_UNMAPPED
            | unicorn.UC_HOOK_MEM_WRITE_UNMAPPED
            | unicorn.UC_HOOK_MEM_FETCH_UNMAPPED
            | unicorn.UC_HOOK_MEM_READ_PROT
            | unicorn.UC_HOOK_MEM_FETCH_PROT,
            self._on_invalid,
        )
        self.meter = self._hook_meter()

    # -- callbacks ---------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, BusFault):
            self.fault = error.address
        elif self._error is None:
            self._error = error
        uclib.uc_emu_stop(self._handle)

    def _map_registers(self, start: int, size: int) -> None:
        bus_read, bus_write, failed = self._bus.read, self._bus.write, self._failed
        devices = self._bus.devices
        owed, pay = self._owed, self._pay

        def read(_engine: int, offset: int, width: int, _data: int) -> int:
            try:
                if owed:
                    pay()
                address = start + offset
                slot = devices.get(address >> 10)
                if slot is not None and width == 4:
                    return slot[0].read32(address - slot[1])
                return bus_read(address, width)
            except BaseException as error:  # noqa: BLE001 -- it cannot pass through C; run() raises it
                failed(error)
                return 0

        def write(_engine: int, offset: int, width: int, value: int, _data: int) -> None:
            try:
                if owed:
                    pay()
                address = start + offset
                slot = devices.get(address >> 10)
                if slot is not None and width == 4:
                    slot[0].write32(address - slot[1], value)
                else:
                    bus_write(address, width, value, from_core=True)
            except BaseException as error:  # noqa: BLE001 -- likewise
                failed(error)

        callbacks = (_REGISTER_READ(read), _REGISTER_WRITE(write))
        self._keep.append(callbacks)
        self._checked(
            uclib.uc_mmio_map(
                self._handle,
                ctypes.c_uint64(start),
                ctypes.c_size_t(size),
                ctypes.cast(callbacks[0], ctypes.c_void_p),
                None,
                ctypes.cast(callbacks[1], ctypes.c_void_p),
                None,
            )
        )

    def _hook_stores(self) -> None:
        program, bus_write, failed = self._bus.flash.program, self._bus.write, self._failed
        main, owed, pay = self._bus.flash.array.main, self._owed, self._pay

        def store(_engine: int, _kind: int, address: int, size: int, value: int, _data: int) -> bool:
            try:
                if owed:
                    pay()
                data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
                offset = address - FLASH_BASE
                if 0 <= offset < FLASH_SIZE and not address % size:
                    program(address, size, value & (1 << 8 * size) - 1)
                    memory = main
                else:
                    bus_write(address, size, value & 0xFFFFFFFF, from_core=True)
                    memory, offset = self._memory_at(address)
                held = memory[offset : offset + size]
                if held != data:
                    owed.append((memory, offset, held))
                    self.meter.stop_soon()
            except BaseException as error:  # noqa: BLE001 -- likewise
                failed(error)
                return False
            return True

        callback = _STORE(store)
        self._keep.append(callback)
        self._raw_hook(unicorn.UC_HOOK_MEM_WRITE_PROT, ctypes.cast(callback, ctypes.c_void_p), None)

    def _memory_at(self, address: int) -> tuple[Any, int]:
        for name, base in (("flash", FLASH_BASE), ("system", SYSTEM_BASE), ("sram", SRAM_BASE)):
            if base <= address < base + self._sizes[name]:
                return self._buffers[name], address - base
        return self._buffers[self._alias or "flash"], address

    def _pay(self) -> None:
        for memory, offset, held in self._owed:
            memory[offset : offset + len(held)] = held
        self._owed.clear()

    def _hook_meter(self) -> CycleMeter:
        stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value
        engine = self._handle.value
        assert stop is not None
        assert engine is not None
        meter = CycleMeter(engine, stop)
        self._raw_hook(unicorn.UC_HOOK_BLOCK, ctypes.c_void_p(meter.hook), ctypes.c_void_p(meter.user_data))
        return meter

    def _raw_hook(self, kind: int, callback: ctypes.c_void_p, data: ctypes.c_void_p | None) -> None:
        handle = ctypes.c_size_t()
        self._checked(
            uclib.uc_hook_add(
                self._handle,
                ctypes.byref(handle),
                ctypes.c_int(kind),
                callback,
                data,
                ctypes.c_uint64(1),
                ctypes.c_uint64(0),
            )
        )

    @staticmethod
    def _checked(status: int) -> None:
        if status != unicorn.UC_ERR_OK:
            raise unicorn.UcError(status)

    def _on_interrupt(self, _uc: Any, number: int, _data: Any) -> None:
        self.interrupt = number
        self.uc.emu_stop()

    def _on_invalid(self, _uc: Any, _kind: int, address: int, _size: int, _value: int, _data: Any) -> bool:
        self.fault = address & 0xFFFFFFFF
        return False

    def _on_breakpoint(self, _uc: Any, address: int, _size: int, _data: Any) -> None:
        self.hit = address
        self.uc.emu_stop()

    # -- memory ------------------------------------------------------------------------------------------------

    def write_sram(self, offset: int, data: bytes) -> None:
        """A debugger's write: drops translations of what was there."""
        self.uc.mem_write(SRAM_BASE + offset, data)
        self.uc.ctl_remove_cache(SRAM_BASE + offset, SRAM_BASE + offset + len(data))
        if self._alias == "sram":
            self.uc.ctl_remove_cache(offset, offset + len(data))
        self.meter.forget()

    def forget_code(self) -> None:
        """Code changed behind Unicorn's back."""
        self.uc.ctl_flush_tb()
        self.meter.forget()

    def map(self, *, flash: bool, alias: str | None, line_wait: int) -> None:
        """Make flash answer or not, and show *alias* (``flash``, ``system``, ``sram``) at address zero."""
        if flash != self._flash_mapped:
            if flash:
                self.uc.mem_map_ptr(FLASH_BASE, FLASH_SIZE, _READ_EXEC, self._hosts["flash"])
            else:
                self.uc.mem_unmap(FLASH_BASE, FLASH_SIZE)
            self._flash_mapped = flash
        if alias == "flash" and not flash:
            alias = None
        if alias != self._alias:
            if self._alias is not None:
                self.uc.mem_unmap(0, self._sizes[self._alias])
            if alias is not None:
                permission = unicorn.UC_PROT_ALL if alias == "sram" else _READ_EXEC
                self.uc.mem_map_ptr(0, self._sizes[alias], permission, self._hosts[alias])
            self._alias = alias
        regions = [
            CodeRegion(FLASH_BASE, FLASH_SIZE, self._hosts["flash"], system_bus=False, line_wait=line_wait),
            CodeRegion(SRAM_BASE, SRAM_SIZE, self._hosts["sram"], system_bus=True),
            CodeRegion(SYSTEM_BASE, SYSTEM_SIZE, self._hosts["system"], system_bus=False),
        ]
        if alias is not None:
            wait = line_wait if alias == "flash" else 0
            regions.append(CodeRegion(0, self._sizes[alias], self._hosts[alias], system_bus=False, line_wait=wait))
        self.meter.regions(tuple(regions))

    # -- breakpoints and watchpoints ---------------------------------------------------------------------------

    def set_breakpoints(self, addresses: frozenset[int]) -> bool:
        """Break before these instructions; returns whether anything changed."""
        present = set(self._breakpoints)
        for address in present - addresses:
            self.uc.hook_del(self._breakpoints.pop(address))
        for address in addresses - present:
            hook = self.uc.hook_add(unicorn.UC_HOOK_CODE, self._on_breakpoint, None, address, address)
            self._breakpoints[address] = hook
        return present != addresses

    def set_watchpoints(
        self, wanted: tuple[tuple[int, int, bool, bool, int], ...], matched: Callable[[int], None]
    ) -> None:
        """Watch (first, last, on read, on write, comparator); a match ends the run at the next block."""
        for hook in self._watchpoints:
            self.uc.hook_del(hook)
        self._watchpoints = []
        for first, last, on_read, on_write, index in wanted:
            kinds = (unicorn.UC_HOOK_MEM_READ if on_read else 0) | (unicorn.UC_HOOK_MEM_WRITE if on_write else 0)

            def match(_uc: Any, _k: int, _a: int, _s: int, _v: int, _d: Any, index: int = index) -> None:
                matched(index)
                self.watched = index
                self.meter.stop_soon()

            self._watchpoints.append(self.uc.hook_add(kinds, match, None, first, last))

    # -- running -----------------------------------------------------------------------------------------------

    def run(self, pc: int, *, one: bool) -> int | None:
        """Execute Thumb code from *pc* until something stops it; *one* instruction only if asked.

        Returns Unicorn's error number, or None when it stopped in order.
        """
        self.fault = self.interrupt = self.hit = self.watched = None
        number: int | None = None
        try:
            self.uc.emu_start(pc | 1, NO_ADDRESS, count=1 if one else 0)
        except unicorn.UcError as failure:
            number = failure.errno
        if self._owed:
            self._pay()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return number
