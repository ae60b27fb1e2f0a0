"""The clock service: asks chronyd at the moment of each call, and once a second besides.

- Nothing is answered from an old reading; the looks in between only notice jumps, suspends and lies early.
- It writes its floor and nothing else. It never sets a clock.

Who may call: those who must not act without a certain time, and the technician. The line has no clock.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from appliance import station
from appliance.clock import config as settings
from appliance.clock.errors import ChronyUnreachable, ChronyUnreadable, ClockConfigWrong, ClockError
from appliance.clock.interval import Instant, Look, Memory, Rules, Verdict, judge, noticed, rfc3339
from appliance.clock.reading import MAX_REPORT, Reading, parse, parse_authentication
from appliance.clock.sample import Sampler
from appliance.ipc import Caller, serve

log = logging.getLogger("proofline.clock")

ACCESS: dict[str, frozenset[str]] = {"Read": frozenset({"signer", "panel", "intake", "export", "health", "ops"})}
_CHRONYC_TIMEOUT_S = 3.0
_LOOK_EVERY_S = 1.0
_AUTHENTICATION_EVERY_S = 30.0
_KEEP_STEP_NS = 10 * 10**9
_TORN_NS = 100_000
_LOOKS = 8


def now() -> Instant:
    """One look at all clocks, taken again where the scheduler tore it apart."""
    looks = 0
    while (instant := _now()).torn > _TORN_NS and looks < _LOOKS:
        looks += 1
    return instant


def _now() -> Instant:
    monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    realtime, boottime = time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    raw = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    torn = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - monotonic
    return Instant(realtime, boottime, monotonic, raw, torn)


class Chrony:
    """The one door to chronyd: its own client program."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._command = ["chronyc", "-c", "-n", *arguments]

    def read(self) -> Reading:
        return parse(self._ask("-m", "tracking", "sources"))

    def authentication(self) -> dict[str, str]:
        """How each source is authenticated; empty where chronyd does not tell (it tells on its Unix socket only)."""
        try:
            return parse_authentication(self._ask("authdata"))
        except ClockError:
            return {}

    def _ask(self, *commands: str) -> str:
        try:
            done = subprocess.run(
                [*self._command, *commands],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_CHRONYC_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ChronyUnreachable(why=str(error)) from None
        if done.returncode != 0:
            said = (done.stdout + done.stderr)[:200].decode("ascii", "replace").strip()
            raise ChronyUnreachable(why=said or f"chronyc ended with {done.returncode}")
        try:
            return done.stdout[: MAX_REPORT + 1].decode("ascii")
        except UnicodeDecodeError as error:
            raise ChronyUnreadable(report="report", field="encoding", text=str(error)) from None


class Clock:
    """The verdict, and the memory between verdicts. Threads may share it."""

    def __init__(self, config: settings.Config, state: Path, boot_id: str) -> None:
        self._config = config
        self._chrony = Chrony(config.chronyc)
        self._state = state / "clock.json"
        self._boot_id = boot_id
        kept = settings.load(self._state)
        self._floor = max(settings.epoch_ns(config.epoch_file), kept.floor if kept else 0)
        self._kept_floor = 0
        self._memory = Memory(possible=kept.possible if kept and kept.boot_id == boot_id else None)
        self._lock = threading.Lock()
        self._authentication: dict[str, str] = {}
        self.sampler = (
            Sampler(config.sample.host, config.sample.port, config.sample.max_age_s) if config.sample else None
        )

    def look(self) -> Verdict:
        """A fresh verdict."""
        with self._lock:
            before = now()
            try:
                reading = self._chrony.read()
            except ClockError as refusal:
                self._memory = noticed(self._memory, now(), None)
                return Verdict("Unknown", None, (), None, refusal)
            sample = self._config.sample
            rules = Rules(
                crystal_ppm=self._config.crystal_ppm,
                floor=self._floor,
                sample_server=f"{sample.host}:{sample.port}" if sample else None,
                sample_max_age_s=sample.max_age_s if sample else 0,
            )
            taken = self.sampler.current() if self.sampler else None
            look = Look(reading, before, now(), taken, self._authentication)
            verdict, self._memory = judge(self._memory, look, rules)
            if verdict.interval is not None and verdict.refusal is None:
                self._floor = max(self._floor, verdict.interval.earliest)
            return verdict

    def watch(self, stopping: threading.Event) -> None:
        """Look once a second, keep the floor, log every change of mind."""
        told: tuple[str, str] | None = None
        asked_at = -_AUTHENTICATION_EVERY_S
        while not stopping.is_set():
            if time.monotonic() - asked_at >= _AUTHENTICATION_EVERY_S:
                self._authentication = self._chrony.authentication()
                asked_at = time.monotonic()
            verdict = self.look()
            if verdict.refusal is None:
                self._keep()
            state = (verdict.status, verdict.refusal.code if verdict.refusal else "")
            if state != told:
                log.log(
                    logging.WARNING if verdict.refusal else logging.INFO, "%s %s", verdict.status, verdict.refusal or ""
                )
                told = state
            stopping.wait(_LOOK_EVERY_S)

    def _keep(self) -> None:
        with self._lock:
            floor, possible = self._floor, self._memory.possible
        if floor >= self._kept_floor + _KEEP_STEP_NS:
            settings.save(self._state, settings.Kept(floor, self._boot_id, possible))
            self._kept_floor = floor


class Handlers:
    """The interface's one verb."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def read(self, _caller: Caller) -> dict[str, Any]:
        return {"verdict": as_reply(self._clock.look())}


def as_reply(verdict: Verdict) -> dict[str, Any]:
    """A verdict as io.proofline.clock writes it."""
    interval = verdict.interval
    return {
        "status": verdict.status,
        "earliest": rfc3339(interval.earliest) if interval else None,
        "latest": rfc3339(interval.latest, up=True) if interval else None,
        "width_us": -(-(interval.latest - interval.earliest) // 1000) if interval else None,
        "sources": list(verdict.sources),
        "plausible": verdict.plausible,
        "refusal": verdict.refusal.as_record() if verdict.refusal else None,
    }


def main() -> None:
    """Serve `clock` with the configuration that PROOFLINE_CLOCK_CONFIG names."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    path = os.environ.get("PROOFLINE_CLOCK_CONFIG", "")
    try:
        config = settings.parse_config(Path(path).read_bytes())
    except OSError as error:
        raise ClockConfigWrong(field="PROOFLINE_CLOCK_CONFIG", why=str(error)) from None
    surroundings = station.Surroundings.from_environ()
    clock = Clock(config, surroundings.state, station.describe().boot_id)
    if clock.sampler is not None:
        sampler = clock.sampler

        def background(stopping: threading.Event) -> None:
            threading.Thread(target=sampler.run, args=(stopping,), daemon=True).start()
            clock.watch(stopping)
    else:
        background = clock.watch
    serve("clock", Handlers(clock), ACCESS, daemon=background)
