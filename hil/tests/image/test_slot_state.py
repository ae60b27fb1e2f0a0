"""The slot state, as the station and the boot script keep it between them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.update import giveback, slotstate
from appliance.update.errors import SlotStateDamaged, SlotUnknown
from appliance.update.slotstate import COPY, PLACES, State


def medium(folder: Path) -> Path:
    path = folder / "slots.raw"
    path.write_bytes(bytes(1 << 20))
    return path


def states() -> st.SearchStrategy[State]:
    counts = st.fixed_dictionaries({"a": st.integers(0, 15), "b": st.integers(0, 15)})
    flags = st.fixed_dictionaries({"a": st.booleans(), "b": st.booleans()})
    order = st.sampled_from([("a", "b"), ("b", "a")])
    return st.builds(State, st.integers(0, 2**31), order, counts, flags, st.sampled_from("ab"))


@given(states())
def test_what_is_encoded_is_decoded(state: State) -> None:
    copy = slotstate.encode(state)
    assert len(copy) == COPY
    assert slotstate.decode(copy) == state


@given(states(), st.integers(0, COPY - 1), st.integers(1, 255))
def test_a_copy_with_any_byte_changed_is_refused(state: State, at: int, change: int) -> None:
    copy = bytearray(slotstate.encode(state))
    copy[at] ^= change
    with pytest.raises(SlotStateDamaged):
        slotstate.decode(bytes(copy))


@given(st.binary(max_size=2 * COPY))
def test_anything_else_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(SlotStateDamaged):
        slotstate.decode(data)


def test_the_other_copy_is_the_one_that_is_written(tmp_path: Path) -> None:
    device = medium(tmp_path)
    state = slotstate.fresh("a")
    for turn in range(6):
        _newest, place = slotstate.read(device)
        assert place == PLACES[turn % 2]
        slotstate.write(device, state, place)
        assert slotstate.read(device)[0] == state
        state = slotstate.commit(state, "a")


def test_a_cut_while_one_copy_is_written_leaves_the_state_before(tmp_path: Path) -> None:
    device = medium(tmp_path)
    before = slotstate.commit(slotstate.fresh("a"), "a")
    slotstate.write(device, before, PLACES[0])
    after = slotstate.encode(slotstate.commit(before, "b"))
    place = slotstate.read(device)[1]
    for written in range(len(after.rstrip(b"\0"))):
        with device.open("r+b") as file:
            file.seek(place)
            file.write(after[:written])
        assert slotstate.read(device) == (before, place)


def test_a_slot_found_good_has_its_attempts_back_and_comes_first() -> None:
    tried = State(7, ("a", "b"), {"a": 0, "b": 1}, {"a": True, "b": False}, "b")
    kept = slotstate.commit(tried, "b")
    assert kept == State(8, ("b", "a"), {"a": 0, "b": slotstate.ATTEMPTS_GOOD}, {"a": True, "b": True}, "b")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"slot":"C"}', '{"slot":null}'])
def test_a_slot_that_nobody_named_is_unknown(tmp_path: Path, text: str) -> None:
    image = tmp_path / "image.json"
    image.write_text(text, "utf-8")
    with pytest.raises(SlotUnknown):
        slotstate.running(image)


def test_the_slot_is_the_one_that_the_first_program_wrote_down(tmp_path: Path) -> None:
    image = tmp_path / "image.json"
    image.write_text('{"version":"0.1.0","verity":"sha256:00","slot":"B"}', "utf-8")
    assert slotstate.running(image) == "b"


def test_an_attempt_is_given_back_to_a_slot_that_was_good_and_to_no_other(tmp_path: Path) -> None:
    device = medium(tmp_path)
    tried = State(7, ("b", "a"), {"a": 8, "b": 1}, {"a": True, "b": False}, "b")
    slotstate.write(device, tried, PLACES[0])
    assert giveback.main("b", device) == 1
    assert slotstate.read(device)[0] == tried
    assert giveback.main("a", device) == 0
    assert giveback.main("a", device) == 0
    state, _place = slotstate.read(device)
    assert state == State(9, ("b", "a"), {"a": slotstate.ATTEMPTS_GOOD, "b": 1}, {"a": True, "b": False}, "b")
