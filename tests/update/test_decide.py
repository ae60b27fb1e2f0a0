"""Which image a station wants and may have: every answer, and what became of attempts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.update.decide import Idle, Install, Restart, Running, attempt, decide, fits, settle
from appliance.update.manifest import Manifest
from appliance.update.records import NO_FLOOR, Committed, History, Intended, raised
from appliance.update.update_errors import (
    BundleOtherBoard,
    BundleOtherVersion,
    BundleTooLarge,
    ImageBelowFloor,
    ImageGivenUp,
    UpdateError,
)
from appliance.verify.site_images import Bundle, ImageRelease, Version

BOARD = "proofline-arm64"
NOW = Running(BOARD, Version(0, 2, 0), "sha256:" + "22" * 32, "a", "boot-1")
KEPT = Committed("boot-1", "a", NOW.version, NOW.verity, Version(0, 1, 0))
ROOMS = {"boot": 100, "root": 1000, "hash": 10}
GOOD = Manifest(BOARD, "0.3.0", {"boot": 100, "root": 900, "hash": 10})


def image(version: Version, *, ticket: str = "CHG-1") -> ImageRelease:
    verity = "sha256:" + f"{version.major:02x}{version.minor:02x}" * 16
    bundle = Bundle(f"images/{BOARD}/{version}.raucb", "ab" * 32, 1000)
    return ImageRelease(BOARD, version, verity, NO_FLOOR, bundle, ("*",), ticket, f"sha256:{version}-{ticket}")


NEWER = image(Version(0, 3, 0))


def test_a_newer_image_is_installed() -> None:
    assert decide(NOW, NEWER, KEPT, History()) == Install(NEWER)


def test_an_older_image_down_to_the_floor_is_a_deliberate_step_back() -> None:
    older = image(Version(0, 1, 0))
    assert decide(NOW, older, KEPT, History()) == Install(older)


def test_nothing_below_the_floor_is_installed() -> None:
    with pytest.raises(ImageBelowFloor):
        decide(NOW, image(Version(0, 0, 9)), KEPT, History())


def test_versions_are_numbers() -> None:
    later = image(Version(0, 10, 0))
    assert decide(NOW, later, replace(KEPT, floor=Version(0, 9, 0)), History()) == Install(later)


def test_what_runs_is_not_installed_again_whatever_it_is_called() -> None:
    renamed = replace(NEWER, verity=NOW.verity)
    assert isinstance(decide(NOW, renamed, KEPT, History()), Idle)


@pytest.mark.parametrize("committed", [None, replace(KEPT, boot_id="boot-0")])
def test_while_a_boot_was_not_found_good_the_other_slot_is_not_touched(committed: Committed | None) -> None:
    assert isinstance(decide(NOW, NEWER, committed, History()), Idle)


def test_nothing_promoted_is_nothing_to_do() -> None:
    assert isinstance(decide(NOW, None, KEPT, History()), Idle)


def test_what_is_installed_in_this_boot_only_waits_for_its_restart() -> None:
    history = History().add(attempt(NEWER, NOW)).close("installed")
    assert decide(NOW, NEWER, KEPT, history) == Restart(NEWER.version)


def next_boot(history: History, verity: str) -> tuple[History, UpdateError | None]:
    return settle(history, replace(NOW, boot_id="boot-2", verity=verity))


def test_an_image_that_did_not_come_up_is_given_up_and_not_tried_again() -> None:
    history, gave_up = next_boot(History().add(attempt(NEWER, NOW)).close("installed"), NOW.verity)
    assert gave_up is not None
    assert (gave_up.code, history.attempts[-1].outcome, history.attempts[-1].code) == (
        "PL-UPD-022",
        "given_up",
        "PL-UPD-022",
    )
    later, again = settle(history, replace(NOW, boot_id="boot-3"))
    assert (later, again) == (history, None), "it is told once"
    with pytest.raises(ImageGivenUp):
        decide(replace(NOW, boot_id="boot-2"), NEWER, replace(KEPT, boot_id="boot-2"), history)
    ticketed = image(NEWER.version, ticket="CHG-2")
    assert decide(replace(NOW, boot_id="boot-2"), ticketed, replace(KEPT, boot_id="boot-2"), history) == Install(
        ticketed
    )


def test_an_image_that_came_up_is_kept_on_record() -> None:
    history, gave_up = next_boot(History().add(attempt(NEWER, NOW)).close("installed"), NEWER.verity)
    assert (gave_up, history.attempts[-1].outcome) == (None, "kept")


def test_an_attempt_that_was_cut_off_is_made_again() -> None:
    history, gave_up = next_boot(History().add(attempt(NEWER, NOW)), NOW.verity)
    assert (gave_up, history.attempts[-1].outcome) == (None, "cut_off")
    after = replace(NOW, boot_id="boot-2")
    assert decide(after, NEWER, replace(KEPT, boot_id="boot-2"), history) == Install(NEWER)


def test_an_image_that_was_armed_in_the_moment_of_the_cut_and_came_up_is_kept() -> None:
    history, gave_up = next_boot(History().add(attempt(NEWER, NOW)), NEWER.verity)
    assert (gave_up, history.attempts[-1].outcome) == (None, "kept")


def test_of_many_attempts_those_that_were_given_up_are_remembered() -> None:
    history = History().add(attempt(NEWER, NOW)).close("given_up")
    for number in range(200):
        history = history.add(attempt(image(Version(1, number, 0)), NOW)).close("refused")
    assert len(history.attempts) == 64
    assert history.given_up(NEWER.digest) is not None


@pytest.mark.parametrize(
    ("manifest", "refusal"),
    [
        (replace(GOOD, compatible="other-board"), BundleOtherBoard),
        (replace(GOOD, version="0.3.1"), BundleOtherVersion),
        (replace(GOOD, version="0.03.0"), BundleOtherVersion),
        (replace(GOOD, sizes={**GOOD.sizes, "root": 1001}), BundleTooLarge),
    ],
)
def test_a_bundle_that_is_not_this_image_for_this_board_is_refused(
    manifest: Manifest, refusal: type[UpdateError]
) -> None:
    with pytest.raises(refusal):
        fits(manifest, NEWER, NOW, ROOMS)


def test_a_bundle_that_fits_is_not_refused() -> None:
    fits(GOOD, NEWER, NOW, ROOMS)


versions = st.builds(Version, st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))


@given(versions, versions)
def test_the_floor_is_the_only_bound(wanted: Version, floor: Version) -> None:
    committed = replace(KEPT, floor=floor)
    if wanted < floor:
        with pytest.raises(ImageBelowFloor):
            decide(NOW, image(wanted), committed, History())
    else:
        assert isinstance(decide(NOW, image(wanted), committed, History()), Install | Idle)


@given(st.lists(st.tuples(versions, st.booleans()), max_size=8))
def test_the_floor_never_falls(commits: list[tuple[Version, bool]]) -> None:
    committed: Committed | None = None
    for floor, ours in commits:
        before = NO_FLOOR if committed is None else committed.floor
        intended = Intended(NOW.version, floor, NOW.verity if ours else "sha256:" + "00" * 32)
        committed = raised(committed, replace(KEPT, floor=NO_FLOOR), intended)
        assert committed.floor == max(before, floor if ours else NO_FLOOR)
