"""Whatever a line observes, it is composed into a document that a verifier reads, or refused by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.custody import compose
from appliance.custody.compose import Station, Work
from appliance.custody.errors import ClockUnusable, PressContradicted
from appliance.custody.sources import History, Observations, Press, Reservation, Time
from appliance.errors import ProoflineError
from appliance.evidence import statement
from appliance.station import Site, StationFacts
from appliance.target.boards import profile_for
from appliance.verify.site import SiteTrust
from tests.custody.bench import passed, press_record, reservation, verdict
from tests.release.forge import Forge, Memory

FILES = Forge().files()
ROOT = FILES["metadata/1.root.json"]
TRUST = SiteTrust.verify(Memory(FILES), ROOT)
ORDER = TRUST.order("WO-1")
PROFILE = TRUST.profile(ORDER.sku)
WORK = Work(ORDER, TRUST.release(ORDER.sku, ORDER.version), PROFILE, profile_for(PROFILE.part))
KEY = {"purpose": "manifest", "token_model": "M", "token_serial": "1", "cka_id": "01", "policy": "satisfied"}
STATION = Station(Site("bench-01", "demo", ROOT, "ab" * 32), StationFacts("development", None, "cd" * 16), KEY)
PRESS_ID = "0f" * 16


def composed(
    observations: dict[str, Any], *, work: Work = WORK, reserved: bool = True, **press: Any
) -> statement.Manifest:
    time = Time.of(verdict())
    payload = compose.manifest(
        Press.of(press_record(PRESS_ID)),
        Observations.of(observations),
        work=work,
        trust=TRUST,
        station=STATION,
        time=time,
        at=time.at,
        reservation=Reservation.of(reservation(PRESS_ID)) if reserved else None,
        history=History(0, None),
    )
    return statement.parse_manifest(payload)


def test_a_pass_is_a_pass_to_everybody() -> None:
    assert composed(passed()).verdict == "pass"


def test_a_press_without_an_order_is_refused_and_nothing_else() -> None:
    nothing = Work(None, None, None, None)
    said = {"code": "PL-LIN-001", "operator": "", "engineer": "x\ny", "action": "", "details": {}}
    seen = {**passed(), "refusal": said, "device": None, "measurement": None}
    found = composed({**seen, "verdict": "refused"}, work=nothing, reserved=False)
    assert found.predicate["event"]["refusal"]["engineer"] == "x y"
    for other in ("fail", "aborted", "quarantined"):
        with pytest.raises(ProoflineError):
            composed({**seen, "verdict": other}, work=nothing, reserved=False)


text = st.text(max_size=70)
number = st.integers(-(2**70), 2**70) | st.sampled_from(
    [0, 1024, 0x0800_0000, WORK.board.flash_length if WORK.board else 0]
)
spans = st.lists(st.fixed_dictionaries({"start": number, "length": number}), max_size=4)
odd = st.fixed_dictionaries(
    {
        "verdict": st.sampled_from(["pass", "fail", "refused", "aborted", "quarantined"]),
        "refusal": st.none() | st.fixed_dictionaries({"code": text, "engineer": text}),
        "device": st.none()
        | st.fixed_dictionaries(
            dict.fromkeys(("part", "uid", "dpidr", "idcode", "rom"), text) | {"rdp": number, "flash_kib": number}
        ),
        "measurement": st.none()
        | st.fixed_dictionaries(
            {
                "method": st.sampled_from(["on_target_sha256", "read_back"]),
                "ranges": st.lists(
                    st.fixed_dictionaries({"name": text, "start": number, "length": number, "sha256": text}), max_size=3
                ),
                "erased": spans,
                "unerased": spans,
            }
        ),
        "probe": st.fixed_dictionaries({"kind": text, "id": text}),
        "stages": st.lists(st.fixed_dictionaries({"name": text, "us": number}), max_size=3),
    }
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a document whose value is a text, a number or a list of spans."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        if isinstance(inner, str | int) or key in {"erased", "unerased"}:
            yield value, key
        yield from places(inner)


@given(odd, st.booleans())
def test_any_observations_are_a_manifest_or_refused_by_name(observations: dict[str, Any], reserved: bool) -> None:
    with contextlib.suppress(ProoflineError):
        composed(observations, reserved=reserved)


@given(st.data())
def test_a_pass_with_anything_altered_is_no_lie_about_the_release(data: st.DataObject) -> None:
    observations = deepcopy(passed())
    container, key = data.draw(st.sampled_from(list(places(observations["measurement"]))))
    old = container[key]
    container[key] = data.draw(number if isinstance(old, int) else text if isinstance(old, str) else spans)
    if container[key] != old and key != "method":
        with pytest.raises(ProoflineError):
            composed(observations)


@given(st.dictionaries(st.sampled_from(["status", "earliest", "latest", "plausible"]), st.none() | text, max_size=4))
def test_any_word_of_the_clock_is_a_time_or_refused(changes: dict[str, Any]) -> None:
    with contextlib.suppress(ClockUnusable):
        time = Time.of(verdict(**changes))
        assert time.at.earliest <= time.at.latest


@pytest.mark.parametrize("field", ["press", "order", "event", "label", "boot_id", "monotonic_ms", "operator"])
def test_a_press_record_with_anything_altered_is_refused(field: str) -> None:
    record = press_record(PRESS_ID)
    record[field] = {"id": "lea", "method": "badge"} if field == "operator" else 1 if field == "monotonic_ms" else "x"
    with pytest.raises(PressContradicted):
        Press.of(record)
