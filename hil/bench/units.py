"""Whole units through a whole station, against pyOCD alone on the same virtual board.

- `unit_seconds`: finger to green with everything, against `pyocd load` as a fresh process.
- `unit_vs_warm_pyocd`: the same against pyOCD's own programming in a process that is warm and connected.
- Runs alternate; every run has a blank board of its own, so every run erases nothing and programs everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from appliance.evidence import envelope, statement
from hil.bench.figures import median, percentile, say, show
from hil.bench.signing import bare_sign_per_s
from hil.local_station.bench_station import FIRMWARE, LocalStation
from hil.local_station.office import VERSION, WorkOrder
from hil.local_station.place import CHECKOUT, PROGRAMS

FULL = FIRMWARE / f"proofline-demo-{VERSION}-full.hex"
_RUNS = 5
_SMALL_UNITS = 50
_LOOK_S = 0.005
"""How often the lamps are looked at: often enough for the figure, seldom enough not to slow what is measured."""
_DEVICE_STAGES = frozenset({"connect", "identify", "program", "measure", "release-board"})
_PLACES = count(1)


def fresh_uid() -> str:
    """A chip nobody has seen."""
    return next(_PLACES).to_bytes(4, "little").hex() + "0b" + b"BENCH01".hex()


def full_units(folder: Path) -> None:
    """512 KiB units."""
    say("512 KiB units: the station, a fresh pyOCD, a warm pyOCD, in turn")
    with LocalStation.make(folder, [WorkOrder("WO-1", 1000)], firmware=FULL) as station:
        station.sign_in()
        station.choose("WO-1")
        unit_s(station)  # the first unit of a boot also imports pyOCD's flash code; nobody measures it
        ours, fresh, warm, stages = [], [], [], []
        for _ in range(_RUNS):
            took, staged = unit_s(station)
            ours.append(took)
            stages.append(staged)
            fresh.append(fresh_pyocd_s(station))
            with warm_pyocd(station) as session:
                warm.append(warm_pyocd_s(session))
    detail = {"runs": _RUNS, "bytes": 524288, "stage_ms": _medians(stages)}
    show("unit_seconds", median(ours), "s", median(fresh), reference_is="pyocd load, a fresh process", **detail)
    show(
        "unit_vs_warm_pyocd",
        median(ours),
        "s",
        median(warm),
        reference_is="pyOCD FileProgrammer, warm and already connected; no measurement of the flash",
        all_ours=[round(one, 3) for one in ours],
        all_warm=[round(one, 3) for one in warm],
    )


def small_units(folder: Path) -> None:
    """Fifty small units in a row, then a few with a slow token."""
    say(f"{_SMALL_UNITS} small units in a row")
    with LocalStation.make(folder, [WorkOrder("WO-1", 1000)]) as station:
        station.sign_in()
        station.choose("WO-1")
        unit_s(station)
        signed = signatures(station)
        totals, stages = [], []
        for _ in range(_SMALL_UNITS):
            took, staged = unit_s(station)
            totals.append(took)
            stages.append(staged)
        per_unit = (signatures(station) - signed) / _SMALL_UNITS
        names = sorted({name for staged in stages for name in staged})
        for name in names:
            values = [staged[name] for staged in stages if name in staged]
            show(f"stage_{name.replace('-', '_')}_ms_p50", median(values), "ms", p99=round(percentile(values, 0.99), 2))
        show("unit_small_ms_p50", median(totals) * 1e3, "ms", p99=round(percentile(totals, 0.99) * 1e3, 1))
        device = [sum(ms for name, ms in staged.items() if name in _DEVICE_STAGES) for staged in stages]
        token_ms = per_unit * held_signature_ms(station)
        overhead = [total * 1e3 - on_device - token_ms for total, on_device in zip(totals, device, strict=True)]
        show(
            "overhead_excluding_token_ms_p50",
            median(overhead),
            "ms",
            100,
            reference_is="the limit",
            token_ms=round(token_ms, 3),
            p99=round(percentile(overhead, 0.99), 1),
            excluded_stages=sorted(_DEVICE_STAGES & set(names)),
        )
        show("signatures_per_unit", per_unit, "signatures", 2, reference_is="the limit")
        say("the same with a token that takes 100 ms a signature")
        station.stop("signer")
        station.replace("signer", [sys.executable, "-m", "hil.bench.slow_signer"])
        station.start("signer")
        station.wait_open()
        unit_s(station)
        slow = [unit_s(station)[0] for _ in range(10)]
        show(
            "unit_slow_token_ms_p50",
            median(slow) * 1e3,
            "ms",
            median(totals) * 1e3,
            reference_is="the same units with SoftHSM as it is",
            token="SoftHSM, 100 ms added to each signature",
        )


def unit_s(station: LocalStation) -> tuple[float, dict[str, float]]:
    """One unit: seconds from the finger to green, and the manifest's stages in ms. RuntimeError if not green."""
    station.insert(fresh_uid())
    with station.client("panel") as panel:
        before = panel.call("Describe")["presses"]
        started = time.perf_counter()
        station.press()
        while True:
            seen = panel.call("Describe")
            if seen["presses"] > before and seen["pattern"] not in {"running", "starting", "ready"}:
                break
            time.sleep(_LOOK_S)
        took = time.perf_counter() - started
    if seen["pattern"] != "pass":
        raise RuntimeError(f"a unit did not pass: {seen['text']}")
    return took, stages_ms(station.evidence / "log" / "proofs" / f"{station.last_press()}.manifest.json")


def stages_ms(manifest: Path) -> dict[str, float]:
    payload = envelope.decode(manifest.read_bytes(), {statement.STATEMENT_PAYLOAD}).payload
    staged: dict[str, float] = defaultdict(float)
    for stage in json.loads(payload)["predicate"]["stages"]:
        staged[stage["name"]] += stage["us"] / 1e3
    return staged


def fresh_pyocd_s(station: LocalStation) -> float:
    """`pyocd load` of the same file onto a blank board, as a process of its own."""
    station.insert(fresh_uid())
    command = [sys.executable, "-m", "pyocd", "load", "-t", "stm32f412xg", "-u", "vnucleo:fixture-1"]
    command += ["-f", "4000000", "-O", "auto_unlock=false", "--no-config", os.fspath(FULL)]
    environment = {
        **os.environ,
        "PATH": PROGRAMS,
        "PROOFLINE_BENCH": os.fspath(station.folder / "bench" / "probe.sock"),
    }
    started = time.perf_counter()
    subprocess.run(command, cwd=CHECKOUT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


@contextmanager
def warm_pyocd(station: LocalStation) -> Iterator[Any]:
    """A connected session on a blank board, everything that programming needs imported."""
    import pyocd.flash.file_programmer  # noqa: F401  # warm: not part of what is measured
    from pyocd.core.session import Session

    from hil.virtual_nucleo.link import BenchLink
    from hil.virtual_nucleo.probe import VirtualNucleoProbe

    station.insert(fresh_uid())
    probe = VirtualNucleoProbe(BenchLink(os.fspath(station.folder / "bench" / "probe.sock")), "fixture-1")
    options = {
        "target_override": "stm32f412xg",
        "frequency": 4_000_000,
        "auto_unlock": False,
        "hide_programming_progress": True,
    }
    with Session(probe, options=options, no_config=True) as session:
        yield session


def warm_pyocd_s(session: Any) -> float:
    from pyocd.flash.file_programmer import FileProgrammer

    started = time.perf_counter()
    FileProgrammer(session).program(os.fspath(FULL))
    return time.perf_counter() - started


def signatures(station: LocalStation) -> int:
    with station.client("signer") as signer:
        return int(signer.call("Describe")["signatures"])


def held_signature_ms(station: LocalStation) -> float:
    """What the token itself takes for a P-256 signature in a session that is held."""
    return 1e3 / bare_sign_per_s(station.folder)


def _medians(stages: list[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for staged in stages for name in staged})
    return {name: round(median([staged[name] for staged in stages if name in staged]), 1) for name in names}
