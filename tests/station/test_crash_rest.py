"""SIGKILL around everything that is not a good unit, and a board whose supply goes while it is worked on.

- A refusal without a signature and its way into the log: the panel's own (nobody is signed in), the panel before
  every effect; the line's (the signer is away), the line before every effect.
- An import: intake before every third effect from the moment on at which the new generation has its name, and before
  every twelfth of those that write it.
- The board's supply: at nine moments from the first touch to the last look, and in the middle of programming.

After each blow a good unit follows. With PROOFLINE_SOAK=1: every effect, before, after and half-way through writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ProoflineError
from appliance.verify.site import Directory, SiteTrust
from tests.station.new_releases import new_releases
from tests.station.peril import WIDER, Peril

WAYS = ("before", "half", "after") if WIDER else ("before",)


@pytest.fixture(scope="module")
def peril(folder: Path) -> Iterator[Peril]:
    with Peril(folder) as made:
        yield made


@pytest.mark.slow
def test_panel_killed_while_its_own_refusal_is_journalled(peril: Peril) -> None:
    def press_signed_out() -> None:
        peril.ready()
        peril.board()
        while peril.station.look()["operator"] is not None:
            peril.scan("SESSION:end")
        peril.press()

    peril.survives(peril.blows("panel", press_signed_out, WAYS), press_signed_out)


@pytest.mark.slow
def test_line_killed_while_its_refusal_is_journalled_without_a_signer(peril: Peril) -> None:
    def press_without_signer() -> None:
        peril.ready()
        peril.board()
        peril.station.stop("signer")
        back = False

        def watch() -> None:
            nonlocal back
            if not back and peril.ended():
                back = True
                peril.station.start("signer")

        peril.press(watch)

    peril.survives(peril.blows("line", press_without_signer, WAYS), press_without_signer)


@pytest.mark.slow
def test_intake_killed_during_an_import(peril: Peril) -> None:
    folder, staged = peril.station.folder, peril.station.folder / "staged"
    pinned = (folder / "site" / "root.json").read_bytes()

    def version() -> int:
        return SiteTrust.verify(Directory(staged / "current"), pinned).versions.targets

    def bring_in() -> None:
        peril.carry(next(carriers))
        before = version()
        try:
            peril.import_()
        except ProoflineError:
            assert version() in {before, before + 1}  # intake died
        peril.import_()
        assert version() == before + 1
        assert len(list(staged.iterdir())) <= 3, "a crash left something that nobody took away"
        peril.rest()

    carriers = iter(new_releases(folder / "office", peril.folder / "carriers", 0, 1))
    blows = peril.blows("intake", bring_in, WAYS)
    named = next(at for at, blow in enumerate(blows) if blow.what.startswith("rename"))
    blows = blows if WIDER else blows[:named:12] + blows[named::3]
    carriers = iter(new_releases(folder / "office", peril.folder / "carriers", 1, len(blows)))
    peril.survives(blows, bring_in)


@pytest.mark.slow
def test_the_board_loses_its_supply(peril: Peril) -> None:
    """The cuts come in virtual time, so that each hits the board and not the machine that this runs on."""

    def virtual_us() -> int:
        return int(peril.station.fixture.ask(do="time")["virtual_us"])

    def cut(after_us: int) -> dict[str, int]:
        peril.ready()
        peril.board()
        peril.station.fixture.ask(do="cut_after", us=after_us)
        peril.press()
        peril.judge()
        worn: dict[str, int] = peril.station.fixture.ask(do="wear")
        peril.station.fixture.ask(do="power", on=True)
        return worn

    peril.ready()
    peril.unit()
    whole, once = virtual_us(), peril.station.fixture.ask(do="wear")
    for tenth in range(1, 10):
        cut(whole * tenth // 10)
    low, high = 0, whole
    for _ in range(24):
        at = (low + high) // 2
        done = cut(at)["programmed"]
        if 0 < done < once["programmed"]:
            break
        low, high = (at, high) if done == 0 else (low, at)
    else:
        pytest.fail("no cut fell into programming")
    peril.ready()
    peril.unit()
    peril.judge()
