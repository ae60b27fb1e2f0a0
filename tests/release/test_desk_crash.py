"""The desk killed at its file effects, and its trace replayed onto disks that a power cut could have left.

After each: what was in force or what was promoted, whole and verified; the open proposal is the old one, the new one or
gone because it is in force; the work can go on without a hand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from appliance.release.desk import Desk
from appliance.release.roots import Approver, Online
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.release.forge import key

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class PlainKey:
    """A key without a token: what is tested here is the desk's folder, and a killed process must not hold a token."""

    def __init__(self, name: str) -> None:
        self._key = key(name)

    @property
    def public(self) -> EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ECDSA(SHA256()))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """In memory where that is to be had: the harness decides what would have been durable."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def begin(root: Path) -> None:
    """A desk in force, with an approved proposal of one operator."""
    root.mkdir()
    desk = Desk.create(
        root / "desk",
        site="demo",
        approvers=[Approver(person, PlainKey(person).public) for person in ("ada", "bob", "carol")],
        online=Online(PlainKey("online").public, "safe"),
        place="office",
        machine={},
        now=NOW,
    )
    approve_and_promote(desk)
    add_operator(desk, "olga")
    approve(desk)


def approve(desk: Desk) -> None:
    for person in ("ada", "bob"):
        desk.approve(PlainKey(person), person=person, ticket="C-1", expect=desk.proposal().digest, at=NOW)


def approve_and_promote(desk: Desk) -> None:
    approve(desk)
    desk.promote(PlainKey("online"), NOW)


def add_operator(desk: Desk, name: str) -> None:
    with desk.edit(NOW) as draft:
        draft.set_operator(
            name, name=name, badge=name, roles=["operator"], since=NOW, until=datetime(2027, 1, 1, tzinfo=UTC)
        )


def promote(root: Path) -> None:
    Desk(root / "desk").promote(PlainKey("online"), NOW)
    mark("promoted")


def check_promoted(case: Case, *, go_on: bool) -> None:
    desk = Desk(case.root / "desk")
    version = desk.published().versions.targets
    assert version == 2 if "promoted" in case.marks else version in {1, 2}, case.why
    if not go_on:
        return
    if version == 1:
        desk.promote(PlainKey("online"), NOW)
    assert desk.published().roster().operator("olga"), case.why
    assert not desk.has_proposal(), case.why
    add_operator(desk, "lea")
    approve_and_promote(desk)
    assert desk.published().versions.targets == 3, case.why


def edit(root: Path) -> None:
    add_operator(Desk(root / "desk"), "lea")
    mark("edited")


def check_edited(case: Case, *, go_on: bool) -> None:
    desk = Desk(case.root / "desk")
    shown = "\n".join(desk.show())
    assert "operators[olga].id" in shown, case.why
    assert "operators[lea].id" in shown or "edited" not in case.marks, case.why
    if not go_on:
        return
    if len(desk.contributions()) < 2:
        approve(desk)
    desk.promote(PlainKey("online"), NOW)
    assert desk.published().versions.targets == 2, case.why


WORK = {"promote": (promote, check_promoted), "edit": (edit, check_edited)}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "power cut"])
@pytest.mark.parametrize("work", WORK)
def test_crash_leaves_the_desk_before_or_after_and_needs_no_hand(scratch: Path, work: str, how: str) -> None:
    begin(scratch / "initial")
    workload, check = WORK[work]
    if how == "killed":
        cases = killed_everywhere(workload, scratch, scratch / "initial", every=2)
    else:
        cases = replayed_everywhere(workload, scratch, scratch / "initial", mixtures=1)
    seen = 0
    for case in cases:
        check(case, go_on=seen % 4 == 0)
        seen += 1
    assert seen >= 10
