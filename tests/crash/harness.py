"""Runs a workload under the crash shim, kills it everywhere, and replays its trace onto every disk it could have left.

    workload(root)       writes below `root`; calls `mark("...")` for each promise it has made to somebody
    check(root, marks)   opens what is there without a hand, and asserts that every promise in `marks` was kept

    for case in killed_everywhere(workload, scratch, initial): check(case.root, case.marks)
    for case in replayed_everywhere(workload, scratch, initial): check(case.root, case.marks)

Workloads run in forked processes, so what they share (keys, imports) is made once. `initial` is a directory that each
run starts from a copy of. See `shim/crashshim` for whole services, and docs there for the environment.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash import replay
from tests.crash.shim import crashshim
from tests.crash.shim.crashshim import Plan

Workload = Callable[[Path], None]
KILLED = -9


@dataclass(frozen=True)
class Case:
    """A directory after a crash, and what had been promised by then. `why` names the crash in an assertion."""

    root: Path
    marks: tuple[str, ...]
    why: str


def mark(text: str) -> None:
    """Say that something has been promised; read back as `Case.marks`."""
    crashshim.mark(text)


def run(workload: Workload, root: Path, plan: Plan) -> int:
    """Run in a forked process under the plan: 0, or -9 where it was killed. A workload that fails fails the test."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            crashshim.install(plan)
            workload(root)
            status = 0
        except BaseException:  # noqa: BLE001 -- whatever it was, the parent hears of it by the status
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, KILLED}, f"the workload ended with {code}"
    return code


def trace_of(workload: Workload, root: Path, initial: Path | None = None) -> list[dict[str, object]]:
    """The trace of an undisturbed run in `root`, proved complete: replayed, it gives the tree that is there."""
    before = _fresh(root, initial)
    trace = root.with_name(f"{root.name}.jsonl")
    trace.unlink(missing_ok=True)
    assert run(workload, root, Plan((os.fspath(root),), trace=os.fspath(trace))) == 0
    operations = replay.read_trace(trace)
    disk = replay.Disk(before)
    for operation in replay.rebase(operations, root, before):
        disk.apply(operation)
    assert disk.whole() == replay.read_tree(root), "something was written that the trace does not show"
    return operations


def killed_everywhere(
    workload: Workload, scratch: Path, initial: Path | None = None, *, every: int = 1
) -> Iterator[Case]:
    """A case for each boundary: killed before it, after it, and half-way through where it writes."""
    operations = trace_of(workload, scratch / "whole", initial)
    boundaries = [one for one in operations if one["n"] is not None]
    assert boundaries
    for one in boundaries[::every]:
        number, name = int(str(one["n"])), str(one["op"])
        for when in ("before", "half", "after") if name in {"write", "pwrite"} else ("before", "after"):
            root = scratch / "killed"
            _fresh(root, initial)
            trace = scratch / "killed.jsonl"
            trace.unlink(missing_ok=True)
            plan = Plan((os.fspath(root),), kill=(number, when), trace=os.fspath(trace))
            if run(workload, root, plan) != KILLED:
                continue  # threads took another order this time, and fewer steps
            yield Case(root, _marks(replay.read_trace(trace)), f"killed {when} boundary {number} ({name})")


def replayed_everywhere(
    workload: Workload, scratch: Path, initial: Path | None = None, *, seed: int = 1, mixtures: int = 2
) -> Iterator[Case]:
    """A case for each distinct disk that a power cut during the workload could have left."""
    root = scratch / "whole"
    operations = trace_of(workload, root, initial)
    before = root.with_name(f"{root.name}.before")
    for state in replay.states(before, replay.rebase(operations, root, before), seed=seed, mixtures=mixtures):
        place = scratch / "replayed"
        if place.exists():
            shutil.rmtree(place)
        replay.write_tree(state.tree, place)
        yield Case(place, state.marks, f"power cut after {state.prefix} operations: {state.policy}")


def _fresh(root: Path, initial: Path | None) -> Path:
    """Make `root` a copy of `initial`, and another one beside it that stays as it is."""
    before = root.with_name(f"{root.name}.before")
    for place in (root, before):
        if place.exists():
            shutil.rmtree(place)
        if initial is None:
            place.mkdir(parents=True)
        else:
            shutil.copytree(initial, place, symlinks=True)
    return before


def _marks(operations: list[dict[str, object]]) -> tuple[str, ...]:
    return tuple(str(one["text"]) for one in operations if one["op"] == "mark")
