"""Everything that can go wrong on a wire: each ends in its name, nothing is performed twice, a line reset heals."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.swd import pins
from appliance.swd.errors import (
    AcknowledgeGarbled,
    Cancelled,
    DataDamaged,
    LineHeldLow,
    LineStuck,
    NobodyAnswers,
    TargetFaulted,
    TargetWaiting,
    WireError,
)
from appliance.swd.port import AP, READ, Access, SwdPort
from tests.swd.reference_target import DPIDR, FAULT, OK, WAIT, Plan, ReferenceTarget

TAR, DRW, RDBUFF = 0x4, 0xC, 0xC
RAM = 0x2000_0000
CLEAR_ALL = 0x1E
NONE, LOW = 0b111, 0b000


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


@pytest.mark.parametrize(
    ("acks", "flip_read", "flip_write", "refusal", "access", "word"),
    [
        pytest.param({4: FAULT}, {}, {}, TargetFaulted, 1, 3, id="fault"),
        pytest.param({0: FAULT}, {}, {}, TargetFaulted, 0, 0, id="fault at once"),
        pytest.param({9: FAULT}, {}, {}, TargetFaulted, 2, 0, id="fault of the closing read"),
        pytest.param({4: NONE}, {}, {}, NobodyAnswers, 1, 3, id="lost acknowledgement"),
        pytest.param({4: LOW}, {}, {}, LineHeldLow, 1, 3, id="acknowledgement of zeros"),
        pytest.param({4: 0b011}, {}, {}, AcknowledgeGarbled, 1, 3, id="OK and WAIT at once"),
        pytest.param({4: 0b110}, {}, {}, AcknowledgeGarbled, 1, 3, id="WAIT and FAULT at once"),
        pytest.param({4: 0b101}, {}, {}, AcknowledgeGarbled, 1, 3, id="OK and FAULT at once"),
        pytest.param({}, {}, {4: 0}, TargetFaulted, 1, 4, id="write data damaged in its first bit"),
        pytest.param({}, {}, {4: 32}, TargetFaulted, 1, 4, id="write data damaged in its parity"),
        pytest.param({}, {}, {8: 7}, TargetFaulted, 2, 0, id="last write damaged"),
        pytest.param({}, {9: 7, 10: 7}, {}, DataDamaged, 2, 0, id="closing read damaged twice"),
    ],
)
def test_a_refused_block_says_where(
    target: ReferenceTarget,
    port: SwdPort,
    acks: dict[int, int],
    flip_read: dict[int, int],
    flip_write: dict[int, int],
    refusal: type[WireError],
    access: int,
    word: int,
) -> None:
    target.plan = Plan(acks, flip_read, flip_write)
    block = words(*range(1, 9))
    with pytest.raises(WireError) as caught:
        port.run([(AP | TAR, RAM), (AP | DRW, block)])
    assert type(caught.value) is refusal
    assert (caught.value.details["access"], caught.value.details["word"]) == (access, word)
    assert target.trailing_idle >= 8
    performed = [each.data for each in target.log if each.ap and each.address == DRW and each.data is not None]
    assert performed == list(range(1, len(performed) + 1))  # in order, none twice, none left out

    target.plan = Plan()
    port.line_reset()
    assert port.read_dp(0) == DPIDR
    port.write_dp(0, CLEAR_ALL)
    port.run([(AP | TAR, RAM), (AP | DRW, block)])
    assert port.run([(AP | TAR, RAM), (AP | READ | DRW, 8)]) == [block]


@pytest.mark.parametrize("burst", [1, 2, 17])
@pytest.mark.parametrize("at", [0, 1, 5, 9])
def test_wait_is_borne_and_nothing_is_done_twice(target: ReferenceTarget, port: SwdPort, at: int, burst: int) -> None:
    target.plan.acks = dict.fromkeys(range(at, at + burst), WAIT)
    target.idle_between.clear()
    port.run([(AP | TAR, RAM), (AP | DRW, words(*range(1, 9)))])
    assert [target.memory[RAM + 4 * index] for index in range(8)] == list(range(1, 9))
    assert target.tar == RAM + 32
    assert port.counters.waits == burst
    assert target.idle_between == [8] + [0] * (9 + burst)


def test_endless_wait_ends_with_the_budget(target: ReferenceTarget, port: SwdPort) -> None:
    port.set_clock(1_000_000)
    port.configure(wait_budget_ms=3)
    target.plan.acks = dict.fromkeys(range(1, 100_000), WAIT)
    cycles = port.counters.cycles
    with pytest.raises(TargetWaiting) as caught:
        port.run([(AP | TAR, RAM), (AP | READ | DRW, 8)])
    assert (caught.value.details["access"], caught.value.details["word"]) == (1, 0)
    assert 3000 <= port.counters.cycles - cycles <= 3000 + 13 + 46 + 8
    assert target.tar == RAM  # not one of the reads was performed


def test_wait_under_overrun_detection_is_not_repeated(target: ReferenceTarget, port: SwdPort) -> None:
    port.write_dp(0x4, 0x50000001)
    target.plan.acks = {len(target.log) + 1: WAIT}
    with pytest.raises(TargetWaiting):
        port.run([(AP | TAR, RAM), (AP | DRW, words(1, 2))])
    assert port.counters.waits == 1
    assert target.ctrl & 1 << 1
    port.write_dp(0, CLEAR_ALL)
    port.run([(AP | TAR, RAM), (AP | DRW, words(1, 2))])
    assert (target.memory[RAM], target.memory[RAM + 4]) == (1, 2)


@pytest.mark.parametrize("damaged", [0, 1, 31, 32])
@pytest.mark.parametrize("at", [1, 2, 4])
def test_damaged_read_data_is_asked_for_again_without_an_access(
    target: ReferenceTarget, port: SwdPort, at: int, damaged: int
) -> None:
    target.memory |= {RAM + 4 * index: 0x1000 + index for index in range(3)}
    target.plan.flip_read = {at: damaged}
    assert port.run([(AP | TAR, RAM), (AP | READ | DRW, 3)]) == [words(0x1000, 0x1001, 0x1002)]
    assert target.tar == RAM + 12
    assert port.counters.resends == 1


def test_a_dp_register_that_arrives_damaged_is_refused(target: ReferenceTarget, port: SwdPort) -> None:
    target.plan.flip_read = {0: 3}
    with pytest.raises(DataDamaged):
        port.read_dp(0x4)
    assert port.read_dp(0x4) == 0xF0000000


def test_a_write_whose_acknowledgement_is_lost_is_not_performed(target: ReferenceTarget, port: SwdPort) -> None:
    """The target acknowledged, the host heard nothing: what follows on the released line is refused as damaged."""

    class Deaf(ReferenceTarget):
        deaf = False

        def exchange(self, count: int, out: int, drive: bool) -> int:
            seen = super().exchange(count, out, drive)
            return (1 << count) - 1 if self.deaf and not drive else seen

    deaf = Deaf()
    with pins.on_object(deaf) as heard:
        heard.connect()
        heard.run([(0x4, 0x50000000), (AP | 0x0, 0x12), (AP | TAR, RAM)])
        deaf.deaf = True
        with pytest.raises(NobodyAnswers):
            heard.run([(AP | DRW, 0xFFFFFFFF)])
        deaf.deaf = False
        assert deaf.log[-1].ack == OK
        assert deaf.memory == {}
        heard.line_reset()
        assert heard.read_dp(0) == DPIDR
        assert heard.read_dp(0x4) & 1 << 7  # WDATAERR


def test_a_memory_fault_shows_in_the_same_operation(target: ReferenceTarget, port: SwdPort) -> None:
    target.bad_addresses = {RAM + 8}
    reads: list[Access] = [(AP | TAR, RAM), (AP | READ | DRW, 3)]
    writes: list[Access] = [(AP | TAR, RAM), (AP | DRW, bytes(12))]
    for accesses in (reads, writes):
        with pytest.raises(TargetFaulted):
            port.run(accesses)
        port.write_dp(0, CLEAR_ALL)


@pytest.mark.parametrize("level", [0, 1])
def test_a_shorted_data_line_is_noticed(target: ReferenceTarget, port: SwdPort, level: int) -> None:
    target.plan.stuck = level
    with pytest.raises(LineStuck) as caught:
        port.connect()
    assert caught.value.details["level"] == level
    with pytest.raises(LineHeldLow if level == 0 else NobodyAnswers):
        port.read_dp(0)


def test_cancelling_ends_an_operation_between_two_transfers(target: ReferenceTarget, port: SwdPort) -> None:
    target.plan.acks = dict.fromkeys(range(5, 10_000_000), WAIT)
    port.configure(wait_budget_ms=60_000)
    started = threading.Event()
    target.on_cycle = lambda: started.set() if len(target.log) > 8 else None  # it is being told to wait
    caught: list[BaseException] = []

    def work() -> None:
        try:
            port.run([(AP | TAR, RAM), (AP | DRW, bytes(64))])
        except Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    port.cancel()
    thread.join(10)
    assert len(caught) == 1
    assert target.trailing_idle == 8
    with pytest.raises(Cancelled):
        port.read_dp(0)
    port.resume()
    target.plan = Plan()
    assert port.read_dp(0) == DPIDR


_ack = st.sampled_from([WAIT, FAULT, NONE, LOW, 0b011, 0b101, 0b110])
_plan = st.builds(
    Plan,
    acks=st.dictionaries(st.integers(0, 30), _ack, max_size=4),
    flip_read=st.dictionaries(st.integers(0, 30), st.integers(0, 32), max_size=3),
    flip_write=st.dictionaries(st.integers(0, 30), st.integers(0, 32), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(_plan, st.integers(1, 10))
def test_whatever_goes_wrong_no_wrong_word_goes_unnoticed(plan: Plan, count: int) -> None:
    target = ReferenceTarget()
    with pins.on_object(target) as port:
        port.connect()
        port.run([(0x4, 0x50000000), (AP | 0x0, 0x12)])
        target.log.clear()
        target.plan = plan
        block = words(*(0x5EED0000 + index for index in range(count)))
        try:
            port.run([(AP | TAR, RAM), (AP | DRW, block)])
            written = port.run([(AP | TAR, RAM), (AP | READ | DRW, count)])[0]
        except WireError:
            performed = [each.data for each in target.log if each.ap and not each.read and each.address == DRW]
            kept = [data for data in performed if data is not None]
            assert kept == [0x5EED0000 + index for index in range(len(kept))]
        else:
            assert written == block
            assert words(*(target.memory[RAM + 4 * index] for index in range(count))) == block
