"""An independent look at an NTP server, for plausibility.

- It is SNTP without authentication: it says that two programs agree, not that the time is true. It can only make the
  station refuse, never sign.
- It asks four times in the age that a sample may have, and no public server more than once in 64 s.
- It runs in a thread of its own; a server that is silent or talks nonsense costs nobody a wait.

Source: RFC 5905 8 (offset and delay), ntplib.
"""

from __future__ import annotations

import math
import threading
import time

import ntplib

from appliance.clock.interval import Interval

_SLOWEST_S = 64.0
_RETRY_S = 0.5
_TIMEOUT_S = 2.0
_READ_SLACK_NS = 1_000_000
_UNIX_TO_NTP_LIMIT_S = 10**10


class Sampler:
    """Asks one server now and then and keeps the last answer; `current()` never waits."""

    def __init__(self, host: str, port: int, max_age_s: int) -> None:
        self._every_s = min(_SLOWEST_S, max_age_s / 4)
        self._host, self._port = host, port
        self._lock = threading.Lock()
        self._last: Interval | None = None
        self._why = "none was taken yet"
        self._client = ntplib.NTPClient()

    def current(self) -> Interval | str:
        """The last sample, as the interval that UTC was in when it was taken; or why there is none."""
        with self._lock:
            return self._last or self._why

    def run(self, stopping: threading.Event) -> None:
        """Sample until told to stop."""
        while not stopping.is_set():
            taken = self._take()
            with self._lock:
                if isinstance(taken, Interval):
                    self._last = taken
                else:
                    self._why = taken
            stopping.wait(self._every_s if isinstance(taken, Interval) else _RETRY_S)

    def _take(self) -> Interval | str:
        try:
            answer = self._client.request(self._host, port=self._port, version=4, timeout=_TIMEOUT_S)
        except (ntplib.NTPException, OSError) as error:
            return f"{type(error).__name__}: {error}"
        realtime, raw = time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        return interval_of(
            realtime=realtime,
            raw=raw,
            offset_s=answer.offset,
            delay_s=answer.delay + answer.root_delay,
            dispersion_s=answer.root_dispersion,
            stratum=answer.stratum,
            leap=answer.leap,
        )


def interval_of(
    *, realtime: int, raw: int, offset_s: float, delay_s: float, dispersion_s: float, stratum: int, leap: int
) -> Interval | str:
    """The interval that one answer allows, or what is wrong with it. Floats end here."""
    if leap == 3 or not 1 <= stratum <= 15:
        return f"the server says it is not synchronised (stratum {stratum}, leap {leap})"
    if not all(
        math.isfinite(value) and abs(value) < _UNIX_TO_NTP_LIMIT_S for value in (offset_s, delay_s, dispersion_s)
    ):
        return "the answer is not a time"
    centre = realtime + round(offset_s * 1e9)
    half = round((abs(delay_s) / 2 + abs(dispersion_s)) * 1e9) + _READ_SLACK_NS
    return Interval(centre - half, centre + half, raw)
