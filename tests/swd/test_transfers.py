"""What the host says on the wire, held against a target that was written from the specification alone."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.swd import pins, sequences
from appliance.swd.errors import NobodyAnswers
from appliance.swd.port import AP, READ, Access, SwdPort
from tests.swd.reference_target import AP_IDR, DPIDR, ReferenceTarget

CSW, TAR, DRW = 0x0, 0x4, 0xC
RAM = 0x2000_0000


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def test_swd_is_selected_from_jtag() -> None:
    with pins.on_object(ReferenceTarget()) as port:
        assert port.connect() == DPIDR
        assert port.connect() == DPIDR  # and again, from SWD


def test_a_dormant_target_is_woken() -> None:
    with pins.on_object(ReferenceTarget(dormant=True)) as port:
        with pytest.raises(NobodyAnswers):
            port.connect()
        assert port.connect(dormant=True) == DPIDR


def test_a_target_goes_to_jtag_and_to_dormant_and_comes_back(port: SwdPort) -> None:
    for away in (sequences.SWD_TO_JTAG, sequences.SWD_TO_DORMANT):
        port.sequence(away.count, away.bits)
        with pytest.raises(NobodyAnswers):
            port.read_dp(0)
        assert port.connect(dormant=away is sequences.SWD_TO_DORMANT) == DPIDR


def test_after_a_line_reset_only_dpidr_is_answered(port: SwdPort) -> None:
    port.line_reset()
    with pytest.raises(NobodyAnswers):
        port.read_dp(0x4)
    port.line_reset()
    assert port.read_dp(0) == DPIDR
    assert port.read_dp(0x4) == 0xF0000000


def test_one_target_of_several_is_selected() -> None:
    with pins.on_object(ReferenceTarget(multidrop=0x01002927)) as port:
        with pytest.raises(NobodyAnswers):
            port.connect()
        port.line_reset()
        port.write_dp(0xC, 0x01002927)
        assert port.read_dp(0) == DPIDR


def test_registers_of_both_kinds(target: ReferenceTarget, port: SwdPort) -> None:
    port.write_dp(0x8, 0xF0)
    assert port.read_ap(0xFC) == AP_IDR
    port.write_dp(0x8, 0)
    port.write_ap(TAR, RAM)
    assert port.read_ap(TAR) == RAM
    assert [(each.ap, each.read, each.address) for each in target.log] == [
        (False, False, 0x8),
        (True, True, 0xC),
        (False, True, 0xC),
        (False, False, 0x8),
        (True, False, 0x4),
        (False, True, 0xC),
        (True, True, 0x4),
        (False, True, 0xC),
    ]


def test_a_block_is_written_and_read_back(target: ReferenceTarget, port: SwdPort) -> None:
    block = bytes(range(256)) * 4
    port.run([(AP | TAR, RAM), (AP | DRW, block)])
    assert words(*(target.memory[RAM + 4 * index] for index in range(256))) == block
    assert port.run([(AP | TAR, RAM), (AP | READ | DRW, 256)]) == [block]


def test_idle_clocks_come_at_the_end_and_nowhere_else(target: ReferenceTarget, port: SwdPort) -> None:
    target.idle_between.clear()
    cycles = target.cycles
    port.run([(AP | TAR, RAM), (AP | DRW, bytes(400)), (AP | TAR, RAM), (AP | READ | DRW, 100), (READ | CSW, 1)])
    transfers = 1 + 100 + 1 + 100 + 1 + 1  # RDBUFF between the AP reads and the DP read
    assert target.cycles - cycles == 46 * transfers + 8
    assert target.idle_between == [8] + [0] * (transfers - 1)
    assert target.trailing_idle == 8


def test_an_operation_ends_only_when_its_last_write_is_known(target: ReferenceTarget, port: SwdPort) -> None:
    port.write_ap(TAR, RAM)
    assert [(each.ap, each.read, each.address) for each in target.log] == [(True, False, 4), (False, True, 0xC)]


def test_driven_runs_are_not_cut_at_transfers(target: ReferenceTarget, port: SwdPort) -> None:
    """A word costs two exchanges with the pins, whatever their price."""
    before = target.exchanges
    port.run([(AP | DRW, bytes(4000))])
    assert target.exchanges - before <= 2 * 1000 + 4


@pytest.mark.parametrize("turnaround", [1, 2, 3, 4])
def test_turnaround_follows_what_the_target_was_told(target: ReferenceTarget, port: SwdPort, turnaround: int) -> None:
    port.write_dp(0x8, 1)
    port.write_dp(0x4, turnaround - 1 << 8)
    port.write_dp(0x8, 0)
    assert target.turnaround == turnaround
    assert port.settings.turnaround == turnaround
    cycles = target.cycles
    port.run([(AP | TAR, RAM), (AP | DRW, words(1, 2, 3))])
    assert target.cycles - cycles == 4 * (44 + 2 * turnaround) + 44 + 2 * turnaround + 8
    assert port.run([(AP | TAR, RAM), (AP | READ | DRW, 3)]) == [words(1, 2, 3)]


def test_overrun_detection_follows_what_the_target_was_told(target: ReferenceTarget, port: SwdPort) -> None:
    port.write_dp(0x4, 0x50000001)
    assert port.settings.data_always
    port.run([(AP | TAR, RAM), (AP | DRW, words(5, 6))])
    assert port.run([(AP | TAR, RAM), (AP | READ | DRW, 2)]) == [words(5, 6)]
    port.write_dp(0x4, 0x50000000)
    assert not port.settings.data_always
    assert port.read_dp(0) == DPIDR


def test_sequences_are_bits_and_nothing_else(target: ReferenceTarget, port: SwdPort) -> None:
    cycles = target.cycles
    assert port.sequence(130, (1 << 129) | 0b1011) == (1 << 129) | 0b1011
    assert port.listen(7) == 0x7F
    assert target.cycles - cycles == 137


def test_lines_clock_and_time_reach_the_pins(target: ReferenceTarget, port: SwdPort) -> None:
    port.set_clock(4_000_000)
    port.drive_pins(driven=True)
    port.assert_reset(asserted=True)
    assert (target.hz, target.driven, target.lines, port.is_reset_low()) == (4_000_000, True, [0, 1], True)
    port.assert_reset(asserted=False)
    port.switch_power(on=False)
    assert (target.lines, port.is_reset_low(), port.is_powered()) == ([1, 0], False, False)
    port.wait(1_500_000)
    assert target.waited_ns == 1_500_000


# Operations of any shape against a model that is a dictionary.
_word = st.integers(0, 0xFFFFFFFF)
_operation = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 40), st.lists(_word, min_size=1, max_size=12)),
    st.tuples(st.just("read"), st.integers(0, 40), st.integers(1, 12)),
    st.tuples(st.just("status"), st.just(0), st.just(0)),
    st.tuples(st.just("tar"), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_operation, max_size=6), max_size=4))
def test_any_program_reads_what_was_written(programs: list[list[tuple[str, int, list[int] | int]]]) -> None:
    model: dict[int, int] = {}
    with pins.on_object(ReferenceTarget()) as port:
        port.connect()
        port.run([(0x4, 0x50000000), (0x8, 0), (AP | CSW, 0x12)])
        tar = 0
        for program in programs:
            accesses: list[Access] = []
            expected: list[bytes] = []
            for kind, index, payload in program:
                address = RAM + 4 * index
                if isinstance(payload, list):
                    accesses += [(AP | TAR, address), (AP | DRW, words(*payload))]
                    model |= {address + 4 * offset: word for offset, word in enumerate(payload)}
                    tar = address + 4 * len(payload)
                elif kind == "read":
                    accesses += [(AP | TAR, address), (AP | READ | DRW, payload)]
                    expected.append(words(*(model.get(address + 4 * offset, 0) for offset in range(payload))))
                    tar = address + 4 * payload
                elif kind == "tar":
                    accesses.append((AP | READ | TAR, 1))
                    expected.append(words(tar))
                else:
                    accesses.append((READ | 0x4, 1))
                    expected.append(words(0xF0000000))
            assert port.run(accesses) == expected


@pytest.mark.parametrize(
    ("accesses", "kind"),
    [
        ([(16, 0)], ValueError),
        ([(-1, 0)], OverflowError),
        ([(AP, 1 << 32)], (ValueError, OverflowError)),
        ([(AP, b"abc")], ValueError),
        ([(AP, "word")], TypeError),
        ([(AP | READ, b"abcd")], TypeError),
        ([(AP | READ, 1 << 30)], ValueError),
        ([(AP,)], TypeError),
        ([7], TypeError),
        ([(0, 0)] * 70_000, TypeError),
    ],
)
def test_an_access_that_is_none_reaches_no_wire(
    target: ReferenceTarget, port: SwdPort, accesses: list[Access], kind: type[Exception]
) -> None:
    cycles = target.cycles
    with pytest.raises(kind):
        port.run(accesses)
    assert target.cycles == cycles


def test_no_accesses_are_only_idle_clocks(target: ReferenceTarget, port: SwdPort) -> None:
    cycles = target.cycles
    assert port.run([]) == []
    assert port.run([(AP | READ | DRW, 0), (AP | DRW, b"")]) == [b""]
    assert target.cycles - cycles == 16
