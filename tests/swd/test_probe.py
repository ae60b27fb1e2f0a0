"""The pyOCD probe: collected and posted accesses, pyOCD's own recovery, and what it finds by the environment."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.probe.aggregator import DebugProbeAggregator
from pyocd.probe.debug_probe import DebugProbe

from appliance.swd import decode, pins, vcd
from appliance.swd.probe import SETTINGS_VARIABLE, GpioSwdProbe
from appliance.swd.settings import PinSet, WireSocket
from tests.swd.reference_target import AP_IDR, DPIDR, FAULT, WAIT, Plan, ReferenceTarget
from tests.swd.wire_server import serving

ROOT = Path(__file__).parents[2]
PIN_SET = PinSet("bench", WireSocket("/run/none"), 10_000_000, 100, None)
CSW, TAR, DRW = 0x0, 0x4, 0xC
RAM = 0x2000_0000
NONE = 0b111


@pytest.fixture
def probe(target: ReferenceTarget) -> Iterator[GpioSwdProbe]:
    found = GpioSwdProbe(PIN_SET, lambda _: pins.on_object(target))
    found.open()
    yield found
    found.close()


@pytest.fixture
def dp(probe: GpioSwdProbe, target: ReferenceTarget) -> Any:
    """pyOCD's debug port, connected through the probe by pyOCD itself."""
    session = Session(probe, target_override="cortex_m", options={"no_config": True, "frequency": 2_000_000})
    debug_port = session.target.dp
    debug_port.connect()
    target.log.clear()
    return debug_port


def performed(target: ReferenceTarget) -> list[str]:
    names = [f"{'AP' if each.ap else 'DP'}{'r' if each.read else 'w'}{each.address:x}" for each in target.log]
    target.log.clear()
    return names


def test_pyocd_connects_by_itself(target: ReferenceTarget, dp: Any, probe: GpioSwdProbe) -> None:
    assert dp.dpidr.idr == DPIDR
    assert probe.wire_protocol is DebugProbe.Protocol.SWD
    assert target.driven
    assert dp.read_ap(0xFC) == AP_IDR


def test_it_wakes_a_dormant_target() -> None:
    probe = GpioSwdProbe(PIN_SET, lambda _: pins.on_object(ReferenceTarget(dormant=True)))
    probe.open()
    session = Session(probe, target_override="cortex_m", options={"no_config": True})
    session.target.dp.connect()  # pyOCD tries the deprecated sequence first, then the dormant one
    assert session.target.dp.dpidr.idr == DPIDR
    probe.close()


def test_capabilities_are_what_it_can_do(probe: GpioSwdProbe) -> None:
    claimed = probe.capabilities
    assert {DebugProbe.Capability.SWJ_SEQUENCE, DebugProbe.Capability.SWD_SEQUENCE} <= claimed
    assert not claimed & {
        DebugProbe.Capability.MANAGED_AP_SELECTION,
        DebugProbe.Capability.MANAGED_DPBANKSEL,
        DebugProbe.Capability.SWO,
        DebugProbe.Capability.JTAG_SEQUENCE,
    }
    assert probe.supported_wire_protocols == [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD]
    assert probe.wire_protocol is None
    with pytest.raises(exceptions.ProbeError):
        probe.connect(DebugProbe.Protocol.JTAG)


def test_writes_are_collected_and_go_out_with_the_next_read(target: ReferenceTarget, dp: Any) -> None:
    dp.write_ap(CSW, 0x12)
    dp.write_ap(TAR, RAM)
    dp.write_ap_multiple(DRW, [1, 2, 3])
    assert performed(target) == []
    dp.write_ap(TAR, RAM)
    assert dp.read_ap_multiple(DRW, 3) == [1, 2, 3]
    assert performed(target) == ["APw0", "APw4", "APwc", "APwc", "APwc", "APw4", "APrc", "APrc", "APrc", "DPrc"]


def test_reads_that_can_wait_stay_posted(target: ReferenceTarget, dp: Any, probe: GpioSwdProbe) -> None:
    target.memory |= {RAM: 7, RAM + 4: 8, RAM + 8: 9}
    dp.write_ap(CSW, 0x12)
    dp.write_ap(TAR, RAM)
    dp.flush()
    performed(target)
    reads = [dp.read_ap(DRW, now=False) for _ in range(3)]
    status = dp.read_dp(0x4, now=False)
    assert performed(target) == []
    assert reads[2]() == 9
    assert performed(target) == ["APrc", "APrc", "APrc", "DPrc", "DPr4"]
    assert [reads[0](), reads[1](), status() >> 28] == [7, 8, 0xF]
    assert performed(target) == []


def test_a_failed_operation_fails_for_each_of_its_reads(target: ReferenceTarget, probe: GpioSwdProbe, dp: Any) -> None:
    target.plan.acks = {1: FAULT}
    first, second = probe.read_ap(TAR, now=False), probe.read_ap(TAR, now=False)
    assert callable(first)
    assert callable(second)
    for _ in range(2):
        with pytest.raises(exceptions.TransferFaultError, match="PL-SWD-041"):
            second()
        with pytest.raises(exceptions.TransferFaultError):
            first()


@pytest.mark.parametrize(
    ("ack", "kind"),
    [
        (FAULT, exceptions.TransferFaultError),
        (NONE, exceptions.TransferProtocolError),
        (0, exceptions.TransferProtocolError),
    ],
)
def test_pyocd_recovers(target: ReferenceTarget, dp: Any, ack: int, kind: type[Exception]) -> None:
    dp.write_ap(CSW, 0x12)
    dp.write_ap(TAR, RAM)
    dp.flush()
    target.plan.acks = {len(target.log): ack}
    with pytest.raises(kind):
        dp.read_ap(DRW)
    assert dp.read_ap(TAR) == RAM
    target.bad_addresses = {RAM}
    with pytest.raises(exceptions.TransferFaultError):
        dp.read_ap(DRW)
    dp.write_ap(TAR, RAM + 8)
    assert dp.read_ap(DRW) == 0


def test_a_write_that_failed_is_told_by_flush(target: ReferenceTarget, dp: Any) -> None:
    target.bad_addresses = {RAM}
    dp.write_ap(CSW, 0x12)
    dp.write_ap(TAR, RAM)
    dp.write_ap(DRW, 1)
    with pytest.raises(exceptions.TransferFaultError):
        dp.flush()
    dp.flush()


def test_endless_wait_is_aborted_by_pyocd(target: ReferenceTarget, dp: Any, probe: GpioSwdProbe) -> None:
    probe.port.configure(wait_budget_ms=1)
    dp.write_ap(TAR, RAM)
    dp.flush()
    start = len(target.log)
    target.plan.acks = {start + each: WAIT for each in range(200) if each < 150}
    with pytest.raises(exceptions.TransferTimeoutError, match="PL-SWD-040"):
        dp.read_ap(TAR)
    target.plan.acks.clear()
    assert dp.read_ap(TAR) == RAM
    assert any(not each.ap and not each.read and each.address == 0 and each.data == 1 for each in target.log)


def test_many_writes_do_not_pile_up(target: ReferenceTarget, dp: Any) -> None:
    for value in range(600):
        dp.write_ap(TAR, value)
    assert 500 <= len(target.log) < 600
    dp.flush()
    assert target.tar == 599


def test_reset_pins_and_clock(target: ReferenceTarget, dp: Any, probe: GpioSwdProbe) -> None:
    nreset = int(DebugProbe.ProtocolPin.nRESET)
    group = DebugProbe.PinGroup.PROTOCOL_PINS
    assert probe.get_accessible_pins(group) == (nreset, nreset)
    assert probe.get_accessible_pins(DebugProbe.PinGroup.GPIO_PINS) == (0, 0)
    assert probe.read_pins(group, 0xFF) == nreset
    probe.write_pins(group, 0xFF, 0)
    assert (target.lines[0], probe.read_pins(group, 0xFF), probe.is_reset_asserted()) == (0, 0, True)
    probe.write_pins(group, nreset, nreset)
    assert (target.lines[0], probe.read_pins(group, 0)) == (1, 0)
    waited = target.waited_ns
    probe.reset()
    assert target.waited_ns - waited == 200_000_000  # pyOCD's own hold time and post delay, in the target's time
    probe.set_clock(123_456_789)
    assert target.hz == PIN_SET.max_hz


def test_raw_sequences(target: ReferenceTarget, dp: Any, probe: GpioSwdProbe) -> None:
    probe.swj_sequence(51, (1 << 51) - 1)
    status, seen = probe.swd_sequence([(8, 0), (8, 0xA5), (1,), (3,), (33,), (1,), (8, 0)])
    assert status == 0
    assert [int.from_bytes(each, "little") for each in seen] == [1, 1, DPIDR | DPIDR.bit_count() % 2 << 32, 1]
    for bad in ([(0,)], [(65,)], [(65, 0)]):
        with pytest.raises(exceptions.ProbeError):
            probe.swd_sequence(bad)
    with pytest.raises(exceptions.ProbeError):
        probe.swj_sequence(1 << 20, 0)


@pytest.mark.parametrize("level", [0, 1])
def test_a_shorted_line_is_named_when_connecting(level: int, caplog: pytest.LogCaptureFixture) -> None:
    probe = GpioSwdProbe(PIN_SET, lambda _: pins.on_object(ReferenceTarget(plan=Plan(stuck=level))))
    probe.open()
    session = Session(probe, target_override="cortex_m", options={"no_config": True})
    with pytest.raises(exceptions.Error):
        session.target.dp.connect()
    assert "PL-SWD-046" in caplog.text
    probe.close()


def test_cancelling_is_nothing_that_pyocd_repairs(dp: Any, probe: GpioSwdProbe, target: ReferenceTarget) -> None:
    threading.Thread(target=probe.cancel).start()
    with pytest.raises(exceptions.ProbeError, match="PL-SWD-047") as caught:
        for _ in iter(lambda: dp.read_dp(0), None):
            pass
    assert not isinstance(caught.value, exceptions.TargetError)
    probe.port.resume()
    assert dp.read_dp(0) == DPIDR


def test_a_session_is_recorded(target: ReferenceTarget, tmp_path: Path) -> None:
    path = tmp_path / "wire.vcd"
    probe = GpioSwdProbe(PIN_SET, lambda _: pins.on_object(target))
    options = {"no_config": True, "gpioswd.record": str(path)}
    session = Session(probe, target_override="cortex_m", options=options)
    probe.open()
    session.target.dp.connect()
    probe.close()
    edges = vcd.rising_edges(vcd.read(path.read_text().splitlines()), "swclk", "swdio")
    heard = [each for each in decode.decode(edges) if isinstance(each, decode.Transaction)]
    assert [(each.address, each.data) for each in heard] == [(each.address, each.data) for each in target.log]
    assert heard


def test_trace_comes_from_the_serial_port(target: ReferenceTarget) -> None:
    ours, device = pty.openpty()
    traced = GpioSwdProbe(replace(PIN_SET, swo=os.ttyname(device)), lambda _: pins.on_object(target))
    traced.open()
    assert DebugProbe.Capability.SWO in traced.capabilities
    assert traced.swo_read() == b""
    with pytest.raises(exceptions.ProbeError, match="PL-SWD-025"):
        traced.swo_start(1_234_567)
    traced.swo_start(115_200)
    assert traced.swo_read() == b""
    os.write(ours, b"\x01\r\n\xff\x03")
    assert traced.swo_read() == b"\x01\r\n\xff\x03"
    traced.close()
    os.close(ours)
    os.close(device)
    for nothing in ("/dev/null", "/nowhere/tty"):
        with pytest.raises(exceptions.ProbeError, match="PL-SWD-020"):
            GpioSwdProbe(replace(PIN_SET, swo=nothing)).swo_start(115_200)


def test_without_a_serial_port_there_is_no_trace(probe: GpioSwdProbe) -> None:
    with pytest.raises(exceptions.ProbeError):
        probe.swo_start(115_200)


def test_the_wire_is_let_go(dp: Any, probe: GpioSwdProbe, target: ReferenceTarget) -> None:
    dp.write_ap(TAR, RAM)
    probe.disconnect()
    assert (target.tar, target.driven, probe.wire_protocol) == (RAM, False, None)
    probe.close()
    assert not probe.is_open
    probe.flush()
    with pytest.raises(exceptions.ProbeError):
        probe.read_dp(0)


def test_a_bench_that_goes_away_is_a_lost_probe(tmp_path: Path) -> None:
    with serving(ReferenceTarget(), tmp_path / "wire", cut_after=3) as path:
        probe = GpioSwdProbe(PIN_SET, lambda _: pins.on_socket(str(path)))
        probe.open()
        probe.swj_sequence(8, 0)
        with pytest.raises(exceptions.ProbeDisconnected, match="PL-SWD-023"):
            [probe.read_dp(0) for _ in range(4)]
        probe.close()


def test_probes_are_found_by_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "pins.json"
    monkeypatch.delenv(SETTINGS_VARIABLE, raising=False)
    assert GpioSwdProbe.get_all_connected_probes() == []
    monkeypatch.setenv(SETTINGS_VARIABLE, str(settings))
    assert GpioSwdProbe.get_all_connected_probes() == []  # a broken file does not stop the search for other probes
    with pytest.raises(exceptions.ProbeError, match="PL-SWD-001"):
        GpioSwdProbe.get_all_connected_probes(None, True)
    with serving(ReferenceTarget(), tmp_path / "wire") as door:
        sets = [
            {"name": "bench", "backend": {"kind": "socket", "path": str(door)}},
            {"name": "empty", "backend": {"kind": "socket", "path": str(tmp_path / "none")}},
        ]
        settings.write_text(json.dumps({"schema": 1, "pin_sets": sets}))
        assert [each.unique_id for each in GpioSwdProbe.get_all_connected_probes()] == ["bench", "empty"]
        assert DebugProbeAggregator.get_probe_with_id("gpioswd:nobody") is None
        found = DebugProbeAggregator.get_probe_with_id("gpioswd:bench")
        assert isinstance(found, GpioSwdProbe)
        found.open()
        found.connect()
        found.close()
        empty = DebugProbeAggregator.get_probe_with_id("gpioswd:empty")
        assert empty is not None
        with pytest.raises(exceptions.ProbeError, match="PL-SWD-020"):
            empty.open()
        listed = subprocess.run(
            [Path(sys.executable).with_name("pyocd"), "list", "--probes"],
            env=os.environ | {SETTINGS_VARIABLE: str(settings)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert "Proofline SWD over a virtual wire" in listed


@pytest.mark.parametrize("first", ["appliance.swd.probe", "pyocd.probe.aggregator", "pyocd"])
def test_it_can_be_imported_in_any_order(first: str) -> None:
    script = f"import {first}, appliance.swd.probe, pyocd.probe.aggregator as a; print('gpioswd' in a.PROBE_CLASSES)"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "True"
