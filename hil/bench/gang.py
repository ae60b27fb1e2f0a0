"""Four boards in a gang fixture against one board in a single one: what the company of others costs a board.

- `gang4_slowdown`: by how much longer the slowest of four boards takes than a board alone, on the *boards' own clocks*:
  SWCLK cycles, flash times and core cycles from the button to the verdict. It shows what the station does otherwise to
  a board because there are others (more polls, waits, retries). These clocks stand still while the host is late.
- `gang4_slowdown_paced`: the same on the *wall's clock*, with boards that answer as recorded and in real time
  (`paced`), so that four of them do not have to be executed on the cores that the station works on. Here the host's
  lateness counts: one interpreter, one token, one log for four boards, on this machine's processor.
- Beside both: wall time with four boards executed here, and the line's own processor time for four boards as a share of
  the time the boards take by their own clocks. Below 1, one interpreter keeps up; on a slower processor it is larger in
  proportion.
- Two stations run side by side and take turns; every board is blank, and put in once.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hil.bench.figures import median, say, show
from hil.bench.units import FULL, fresh_uid
from hil.local_station.bench_station import LocalStation
from hil.local_station.office import WorkOrder

POSITIONS = 4
_RUNS = 3
_PACED_RUNS = 5
_LIMIT = 0.10
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Act:
    """One touch of the button. Seconds: on the clocks of the boards, on the wall, of the line's processor time."""

    virtual_s: tuple[float, ...]
    wall_s: float
    line_cpu_s: float


def four_at_once(folder: Path) -> None:
    """512 KiB onto four boards at once, and onto one."""
    say(f"a 512 KiB image onto {POSITIONS} boards at once, and onto one alone, in turn")
    orders = [WorkOrder("WO-1", 1000)]
    folder.mkdir()
    folder.chmod(0o755)
    with (
        LocalStation.make(folder / "one", orders, firmware=FULL) as one,
        LocalStation.make(folder / "four", orders, firmware=FULL, benches=POSITIONS) as four,
    ):
        for station in (one, four):
            station.sign_in()
            station.choose("WO-1")
            act(station)  # the first unit of a boot also imports pyOCD's flash code; nobody measures it
        _executed(one, four)
        say("the same with boards that answer as recorded, in real time")
        _paced(one, four, folder / "session")


def _executed(one: LocalStation, four: LocalStation) -> None:
    alone, together = _in_turn(one, four, _RUNS)
    single_s = median([single.virtual_s[0] for single in alone])
    slowest_s = median([max(gang.virtual_s) for gang in together])
    cpu_s = median([gang.line_cpu_s for gang in together])
    show(
        "gang4_slowdown",
        slowest_s / single_s - 1,
        "share of a board's time",
        _LIMIT,
        reference_is="the limit",
        clock="the boards' own: virtual seconds from the button to the verdict, the slowest of the gang",
        virtual_s_alone=round(single_s, 4),
        virtual_s_slowest_of_four=round(slowest_s, 4),
        virtual_s_each=[[round(each, 4) for each in gang.virtual_s] for gang in together],
        wall_s_alone=round(median([single.wall_s for single in alone]), 2),
        wall_s_four=round(median([gang.wall_s for gang in together]), 2),
        cores=os.cpu_count(),
        line_cpu_s_alone=round(median([single.line_cpu_s for single in alone]), 2),
        line_cpu_s_four=round(cpu_s, 2),
        line_cpu_of_boards_time=round(cpu_s / slowest_s, 3),
        runs=_RUNS,
        bytes=524288,
    )


def _paced(one: LocalStation, four: LocalStation, session: Path) -> None:
    for station in (one, four):
        station.stop("line")
        station.replace("line", [sys.executable, "-m", "hil.bench.constant_line"])
        station.start("line")
        station.wait_open()
    one.swap_bench(0, "hil.bench.paced", "record", os.fspath(session))
    recorded = act(one)
    for station in (one, four):
        for position in range(len(station.fixtures)):
            station.swap_bench(position, "hil.bench.paced", "play", os.fspath(session))
        act(station)  # likewise: the line was started anew
    alone, together = _in_turn(one, four, _PACED_RUNS)
    single_s, gang_s = (median([each.wall_s for each in acts]) for acts in (alone, together))
    show(
        "gang4_slowdown_paced",
        gang_s / single_s - 1,
        "share of a board's time",
        _LIMIT,
        reference_is="the limit",
        clock="the wall's, with boards played back in real time",
        wall_s_alone=round(single_s, 3),
        wall_s_four=round(gang_s, 3),
        wall_s_each_alone=[round(each.wall_s, 3) for each in alone],
        wall_s_each_four=[round(each.wall_s, 3) for each in together],
        board_s=round(recorded.virtual_s[0], 4),
        load_average=round(os.getloadavg()[0], 1),
        cores=os.cpu_count(),
        runs=_PACED_RUNS,
    )


def _in_turn(one: LocalStation, four: LocalStation, runs: int) -> tuple[list[Act], list[Act]]:
    alone, together = [], []
    for _ in range(runs):
        alone.append(act(one))
        together.append(act(four))
    return alone, together


def act(station: LocalStation) -> Act:
    """A blank board at every position, the button, the verdict. RuntimeError if it is not green."""
    for position in range(len(station.fixtures)):
        station.insert(fresh_uid(), position)
    clocks = [_virtual_s(station, position) for position in range(len(station.fixtures))]
    cpu_s = _line_cpu_s(station)
    started = time.perf_counter()
    outcome = station.press_and_wait(timeout_s=300)
    wall_s = time.perf_counter() - started
    if outcome.pattern != "pass":
        raise RuntimeError(f"a board did not pass: {outcome.text}")
    passed = tuple(_virtual_s(station, position) - began for position, began in enumerate(clocks))
    return Act(passed, wall_s, _line_cpu_s(station) - cpu_s)


def _virtual_s(station: LocalStation, position: int) -> float:
    return float(station.fixtures[position].ask(do="time")["virtual_us"]) / 1e6


def _line_cpu_s(station: LocalStation) -> float:
    """User and system time of the line's process so far (proc(5))."""
    fields = Path(f"/proc/{station.supervisor.pid('line')}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
