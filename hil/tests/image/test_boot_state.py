"""The state partition: made at the first boot, sealed where there is a TPM, never made again by itself.

These boots end before systemd begins (hil/virtual_station/early.py): seconds each. test_boot_state_whole.py boots the
whole station.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from hashlib import sha256

import pytest

from hil.virtual_station.early import EarlyGuest
from hil.virtual_station.loss import Loss
from hil.virtual_station.medium import Moment
from hil.virtual_station.peril import SOAKING

LOOK = "cat /run/proofline-state.json; cat /state/shared/machine-id; cryptsetup luksDump /dev/vda2 2>/dev/null"
CUTS = int(os.environ.get("PROOFLINE_STATE_CUTS", "40" if SOAKING else "2"))
RESETS = [("chip", 1), (None, 2)] + ([(None, None)] if SOAKING else [])


def about(said: str) -> dict[str, object]:
    """What the station wrote down of its state."""
    found = re.search(r'^\{"schema":1,.*\}', said, re.MULTILINE)
    assert found is not None, said
    document = json.loads(found[0])
    assert isinstance(document, dict)
    return document


def content(guest: EarlyGuest) -> str:
    """Everything behind the slot state, as a digest: what a refusal must not change."""
    with guest.card.open("rb") as file:
        file.seek(2 << 20)
        return sha256(file.read()).hexdigest()


@pytest.fixture(scope="module")
def sealed() -> Iterator[tuple[EarlyGuest, str]]:
    """A card that was begun with a TPM, and what its first boot said."""
    with EarlyGuest("state-sealed", tpm="chip") as guest:
        yield guest, guest.boot(look=LOOK)


def test_with_a_tpm_the_state_has_one_key_which_is_sealed(sealed: tuple[EarlyGuest, str]) -> None:
    guest, first = sealed
    assert "proofline: state: encrypted, its key sealed to this machine's TPM" in first
    made = about(first)
    assert (made["encrypted"], made["by"], made["made"]) == (True, "tpm2", True)
    slots = re.findall(r"^  (\d+): luks2$", first, re.MULTILINE)
    assert re.findall(r"^\s+Keyslot:\s+(\d+)$", first, re.MULTILINE) == slots
    assert len(slots) == 1
    assert re.search(r"tpm2-hash-pcrs:\s*$", first, re.MULTILINE)
    second = guest.boot(look=LOOK)
    assert about(second) == made | {"made": False}


def test_no_byte_of_what_is_in_a_sealed_state_is_on_the_card(sealed: tuple[EarlyGuest, str]) -> None:
    guest, first = sealed
    assert str(about(first)["id"]).encode() not in guest.card.read_bytes()


@pytest.mark.parametrize(
    ("chip", "why"),
    [("another", "it is sealed to another TPM, or this one was cleared"), (None, "sealed to a TPM, and there is none")],
)
def test_without_its_tpm_it_is_refused_by_name_and_nothing_changes(
    sealed: tuple[EarlyGuest, str], chip: str | None, why: str
) -> None:
    guest, first = sealed
    before, left = content(guest), guest.slot_state().left["a"]
    own, guest.tpm = guest.tpm, chip
    try:
        said = guest.boot()
    finally:
        guest.tpm = own
    assert why in said
    assert "early: ended with 75" in said
    assert content(guest) == before
    assert guest.slot_state().left["a"] == left
    assert about(guest.boot(look=LOOK))["id"] == about(first)["id"]


def test_without_a_tpm_it_is_plain_and_says_so_and_stays_so() -> None:
    with EarlyGuest("state-plain") as guest:
        first = guest.boot(look=LOOK)
        assert "proofline: state: plain: this machine has no TPM" in first
        assert (about(first)["encrypted"], about(first)["by"]) == (False, None)
        guest.tpm = "chip"
        second = guest.boot(look=LOOK)
        assert "state: plain: it was begun without the TPM that is here now, and stays so" in second
        assert about(second) == about(first) | {"made": False}


def test_a_state_that_was_made_is_never_made_again_and_a_slot_on_trial_counts_it() -> None:
    with EarlyGuest("state-damaged", good=False) as guest:
        guest.boot()
        partitions = guest.partitions()
        assert partitions is not None
        start, _size = partitions["proofline-state"]
        with guest.card.open("r+b") as file:
            file.seek(start)
            file.write(bytes(8192))  # the file system's description of itself
        before, counted = content(guest), guest.slot_state()
        said = guest.boot()
        assert "the partition holds neither a sealed nor a plain state (nothing known); nothing was changed" in said
        assert "early: ended with 1" in said
        assert content(guest) == before
        assert guest.slot_state() == counted


@pytest.mark.parametrize("turn", range(CUTS))
def test_power_cut_in_the_first_boot_leaves_a_state_to_be_made_or_a_whole_one(turn: int) -> None:
    """A third of the cuts falls into the writes of the partition table, the rest anywhere."""
    draw = random.Random(turn)
    tpm = "chip" if turn % 2 else None
    with EarlyGuest(f"state-cut-{turn}", tpm=tpm) as guest:
        table = (0, 1 << 20) if turn % 3 == 0 else None
        moment = Moment(draw.randrange(1, 3 if table else 120), table)
        loss = Loss.drawn(turn)
        said = guest.boot(look=LOOK, cut=moment, loss=loss)
        story = f"{moment} {loss}\n{said}"
        partitions = guest.partitions()
        assert partitions is not None, story
        assert "proofline-slots" in partitions, story
        again = guest.boot(look=LOOK)
        assert "early: ended with 0" in again, f"{story}\n{again}"
        if "proofline-state" in partitions:
            assert about(again)["made"] is False, f"{story}\n{again}"
        third = guest.boot(look=LOOK)
        assert about(third) == about(again) | {"made": False}, f"{story}\n{again}\n{third}"


def ordering(entries: int) -> str:
    """Shell words that leave a mark in the mounted state, for a log of so many entries."""
    return f"""python3 -I -c '
from pathlib import Path
from appliance.reset.decide import Mark
from appliance.reset.held import MARK, RECORDER, read_held
from appliance.verify.site_resets import JournalHead, LogHead
shared = Path("/state/shared")
for one in (shared / RECORDER / "log", (shared / MARK).parent):
    one.mkdir(parents=True)
held = read_held(shared)
order = Mark("RST-1", held.state, LogHead({entries}, held.heads.root), JournalHead(0, held.heads.head))
(shared / MARK).write_bytes(order.encode())
'"""


@pytest.mark.parametrize(("tpm", "cut"), RESETS)
def test_a_proven_reset_ends_in_a_new_state_wherever_power_goes(tpm: str | None, cut: int | None) -> None:
    """The cuts tear the table's change to "being wiped", and the one from there to "being made"."""
    with EarlyGuest(f"state-reset-{cut}", tpm=tpm) as guest:
        first = about(guest.boot(look=f"{LOOK}; {ordering(0)}"))
        if cut is not None:
            moment = Moment(cut, (0, 1 << 20))
            story = guest.boot(look=LOOK, cut=moment, loss=Loss("torn at 512", cut))
            assert "early: ended" not in story
        said = guest.boot(look=LOOK)
        # cut while the name changed back to "being made", all was wiped already
        assert "proofline: state: wiped" in said or cut == 2
        second = about(said)
        assert second["id"] != first["id"]
        assert (second["made"], second["encrypted"]) == (True, tpm is not None)
        assert about(guest.boot(look=LOOK)) == second | {"made": False}


def test_a_mark_for_another_log_wipes_nothing_and_is_gone() -> None:
    with EarlyGuest("state-not-reset") as guest:
        first = about(guest.boot(look=f"{LOOK}; {ordering(1)}"))
        said = guest.boot(look=f"{LOOK}; ls /state/shared/var/lib/proofline/reset")
        assert "reset refused: PL-RST-010" in said
        assert about(said) == first | {"made": False}
        assert re.search(r"^refused.json$", said, re.MULTILINE)
        assert "ordered.json" not in said
