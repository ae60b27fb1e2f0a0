"""Recordings: what was on the pins becomes a waveform, the waveform a file, the file transactions again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.swd import capture, decode, pins, vcd
from appliance.swd.capture import Clock, Event, Exchange, Line, Taken, Wait
from appliance.swd.decode import Notice, Transaction
from appliance.swd.errors import CaptureError, CaptureMalformed, CaptureOverflowed, SignalMissing, WireError
from appliance.swd.port import AP, READ
from appliance.swd.vcd import Change, Edge, Waveform
from tests.swd.reference_target import DPIDR, FAULT, WAIT, Plan, ReferenceTarget

TAR, DRW = 0x4, 0xC
RAM = 0x2000_0000
ROOT = Path(__file__).parents[2]


def recorded(target: ReferenceTarget, *, hz: int = 4_000_000, **connection: bool) -> Waveform:
    """A connection and some accesses, as a waveform."""
    with pins.on_object(target) as port:
        port.start_recording()
        port.set_clock(hz)
        try:
            port.connect(**connection)
            port.run([(0x4, 0x50000000), (0x8, 0), (AP | 0x0, 0x12)])
            port.run([(AP | TAR, RAM), (AP | DRW, bytes(range(12))), (AP | TAR, RAM), (AP | READ | DRW, 3)])
        except WireError:
            pass
        return whole(capture.waveform(capture.stop(port)))


def whole(waveform: Waveform) -> Waveform:
    """A waveform that can be gone through more than once, and compared."""
    return Waveform(waveform.signals, tuple(waveform.changes))


def said(waveform: Waveform) -> list[Transaction | Notice]:
    return list(decode.decode(vcd.rising_edges(waveform, "swclk", "swdio")))


def transfers(waveform: Waveform) -> list[Transaction]:
    return [each for each in said(waveform) if isinstance(each, Transaction)]


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(), id="nothing wrong"),
        pytest.param(Plan(acks={3: WAIT, 4: WAIT, 9: WAIT}), id="waits"),
        pytest.param(Plan(acks={7: FAULT}), id="fault"),
        pytest.param(Plan(flip_read={11: 4}), id="damaged and resent"),
        pytest.param(Plan(acks={6: 0b011}), id="garbled"),
    ],
)
def test_the_decoder_says_what_the_target_understood(plan: Plan) -> None:
    target = ReferenceTarget(plan=plan)
    decoded = transfers(vcd.read(vcd.write(recorded(target))))
    assert [(each.ap, each.read, each.address, each.ack) for each in decoded] == [
        (each.ap, each.read, each.address, each.ack) for each in target.log
    ]
    for index, (shown, meant) in enumerate(zip(decoded, target.log, strict=True)):
        if index in plan.flip_read:
            assert not shown.parity_ok
        else:
            assert shown.data == meant.data


@pytest.mark.parametrize("turnaround", [1, 2, 4])
def test_the_decoder_follows_turnaround_and_overrun_detection(turnaround: int) -> None:
    target = ReferenceTarget(plan=Plan(acks={9: WAIT}))
    with pins.on_object(target) as port:
        port.start_recording()
        port.connect()
        port.run([(0x8, 1), (0x4, turnaround - 1 << 8), (0x8, 0), (0x4, 0x50000001), (AP | 0x0, 0x12)])
        port.read_dp(0x4)
        with pytest.raises(WireError):
            port.run([(AP | TAR, RAM), (AP | DRW, bytes(8))])
        port.read_dp(0)
        waveform = whole(capture.waveform(capture.stop(port)))
    decoded = transfers(waveform)
    assert [(each.address, each.ack) for each in decoded] == [(each.address, each.ack) for each in target.log]
    assert [each.register for each in decoded[1:5]] == ["SELECT", "DLCR", "SELECT", "CTRL/STAT"]


@pytest.mark.parametrize(
    ("dormant", "notices"),
    [
        (False, ["line reset (51 ones)", "JTAG to SWD", "line reset (54 ones)"]),
        (True, ["JTAG to dormant", "line reset (51 ones)", "SWD to dormant", "dormant to SWD", "line reset (51 ones)"]),
    ],
)
def test_the_decoder_names_the_way_into_swd(dormant: bool, notices: list[str]) -> None:
    heard = said(recorded(ReferenceTarget(dormant=dormant), dormant=dormant))
    assert [each.what for each in heard if isinstance(each, Notice)] == notices
    assert isinstance(heard[len(notices)], Transaction)


def test_a_line_that_nobody_drives_is_said_to_be_silent() -> None:
    heard = said(recorded(ReferenceTarget(dormant=True)))
    assert [str(each).split("us  ")[1] for each in heard[-2:]] == [
        "DP read  DPIDR          silent",
        "-- lost: no acknowledgement",
    ]


def test_time_is_nominal() -> None:
    with pins.on_object(ReferenceTarget()) as port:
        port.start_recording()
        port.set_clock(2_000_000)
        port.sequence(4, 0b1010)
        port.wait(1_000)
        port.assert_reset(asserted=True)
        events = capture.stop(port)
    assert events == [Clock(2_000_000), Exchange(4, True, 0b1010, 0b1010), Wait(1_000), Line(0, 0)]
    edges = list(vcd.rising_edges(capture.waveform(events), "swclk", "swdio"))
    assert edges == [Edge(250_000 + 500_000 * index, index % 2) for index in range(4)]
    assert [*capture.waveform(events).changes][-1] == Change(3_000_000, "nreset", 0)


def test_a_recording_that_overflowed_is_not_shown_as_whole() -> None:
    with pins.on_object(ReferenceTarget()) as port:
        port.start_recording(3)
        port.connect()
        with pytest.raises(CaptureOverflowed):
            capture.stop(port)
        assert capture.stop(port) == []  # nothing is being recorded any more
        assert port.read_dp(0) == DPIDR


_event = st.one_of(
    st.builds(
        lambda count, driven, bits: Exchange(
            count, driven, bits & (1 << count) - 1 if driven else 0, bits & (1 << count) - 1
        ),
        st.integers(1, 64),
        st.booleans(),
        st.integers(0, (1 << 64) - 1),
    ),
    st.builds(Clock, st.integers(1000, 50_000_000)),
    st.builds(Line, st.integers(0, 1), st.integers(0, 1)),
    st.builds(Wait, st.integers(0, 10**9)),
    st.builds(Taken, st.booleans()),
)


@settings(deadline=None)
@given(st.lists(_event, max_size=30))
def test_every_level_survives_the_file(events: list[Event]) -> None:
    waveform = whole(capture.waveform(events))
    assert whole(vcd.read(vcd.write(waveform))) == waveform
    levels = [edge.level for edge in vcd.rising_edges(waveform, "swclk", "swdio")]
    exchanges = [each for each in events if isinstance(each, Exchange)]
    assert levels == [each.seen >> bit & 1 for each in exchanges for bit in range(each.count)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1), max_size=400))
def test_the_decoder_takes_any_bits(levels: list[int]) -> None:
    edges = [Edge(index, level) for index, level in enumerate([1] * 51 + [0] * 2 + levels)]
    for each in decode.decode(edges):
        assert str(each)


FOREIGN = """$date today $end $version somebody's analyser $end
$comment with # signs and 0 words $end
$timescale 100 ns $end
$scope module logic $end
$var wire 1 ! CLK $end
$var wire 1 " DIO $end
$var wire 8 # bus $end
$var real 64 & volts $end
$upscope $end $enddefinitions $end
#0 $dumpvars x! z" b00000000 # r1.5 & $end
#1 0!
#2 1!
#3 0! 0"
#4 b1 !
#5
b0 !
1"
#6
1!
"""


def test_a_foreign_analyser_is_understood() -> None:
    waveform = whole(vcd.read(FOREIGN.splitlines()))
    assert waveform.signals == ("CLK", "DIO")
    edges = list(vcd.rising_edges(waveform, "CLK", "DIO"))
    assert edges == [Edge(200_000, 1), Edge(400_000, 0), Edge(600_000, 1)]
    with pytest.raises(SignalMissing):
        list(vcd.rising_edges(waveform, "swclk", "DIO"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "$timescale 1 ps",
        "$timescale 3 ps $end $enddefinitions $end",
        "$timescale 1 parsec $end $enddefinitions $end",
        "$var wire 1 $end $enddefinitions $end",
        "$enddefinitions $end #-1",
        "$enddefinitions $end #1 #0",
        "$enddefinitions $end #1e3",
        "$enddefinitions $end #" + "9" * 23,
        "$enddefinitions $end #" + "9" * 5000,
        "$enddefinitions $end ?!",
        "$enddefinitions $end $comment",
        "$enddefinitions $end " + " " * 70_000,
        "".join(f"$var wire 1 {index} s{index} $end " for index in range(1100)) + "$enddefinitions $end",
    ],
)
def test_what_is_no_vcd_is_refused(text: str) -> None:
    with pytest.raises(CaptureMalformed):
        whole(vcd.read(text.splitlines()))


@given(st.text(alphabet="$#01xzbr! \nend", max_size=200))
def test_no_file_raises_anything_but_ours(text: str) -> None:
    for start in ("", "$var wire 1 ! swclk $end $enddefinitions $end "):
        try:
            whole(vcd.read((start + text).splitlines()))
        except CaptureError:
            pass


def test_the_command_prints_a_file(tmp_path: Path) -> None:
    path = tmp_path / "wire.vcd"
    path.write_text("".join(vcd.write(recorded(ReferenceTarget()))))
    command = [sys.executable, "-m", "appliance.swd.decode", path]
    shown = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "AP write 0:TAR          OK       0x20000000" in shown
    assert "DP read  DPIDR          OK       0x2ba01477" in shown
    assert decode.main([str(path), "--clock", "clk"]) == 2
    assert decode.main([str(tmp_path / "none")]) == 2
