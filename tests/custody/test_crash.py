"""The signer killed at every file effect, and its ledger on every disk that a power cut could leave.

What left the signer is what leaves it again; a history that it signed is the only one it ever signs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from appliance import durable
from appliance.custody import ledger
from appliance.custody.custodian import Custodian
from appliance.custody.ledger import Ledger
from appliance.custody.policy import P256
from appliance.custody.signer import Signer
from appliance.custody.token import Key, Token
from appliance.errors import ProoflineError
from appliance.evidence import base64_strict, merkle, statement, strict_json
from appliance.intake.staged import StagedSite
from appliance.ipc import Caller
from appliance.station import Site, StationFacts
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.custody.bench import passed, press_record, reservation, verdict
from tests.release.forge import Forge, key, spki, write

LINE = Caller(0, 0, "line")
FORGE = Forge()
FILES = FORGE.files()
ROOT = FILES["metadata/1.root.json"]
LEAVES = [merkle.leaf_hash(b"entry %d" % n) for n in range(9)]
FORK = [merkle.leaf_hash(b"another"), *LEAVES[1:]]
RECORDS = [
    {
        "n": n,
        "kind": "refusal",
        "press": None,
        "press_digest": None,
        "operator": None,
        "code": "PL-SGN-020",
        "engineer": f"Number {n}.",
        "boot_id": "cd" * 16,
        "monotonic_ms": n,
    }
    for n in range(4)
]


class SoftToken(Token):
    """The forged site's keys: a PKCS#11 module cannot be carried over a fork, and is not what is tested here."""

    def __init__(self) -> None:
        names = {"manifest": "m1", "checkpoint": "c1"}
        keys = {purpose: (Key(purpose, P256, spki(name), b"\1"), key(name)) for purpose, name in names.items()}
        super().__init__(None, keys, "none", "0")

    def _sign(self, purpose: str, message: bytes) -> bytes:
        signature: bytes = self._handles[purpose].sign(message, ECDSA(SHA256()))
        return signature


class Peer:
    """Another service that always says the same."""

    def __init__(self, **answers: Callable[..., dict[str, Any]]) -> None:
        self._answers = answers

    def call(self, verb: str, /, **parameters: Any) -> dict[str, Any]:
        return self._answers[verb](**parameters)


def opened(root: Path, staged: Path) -> tuple[Signer, Ledger]:
    book = Ledger(durable.Journal(root / "signer.journal"))
    signer = Signer(
        custodian=Custodian(SoftToken),
        ledger=book,
        staged=StagedSite(staged, ROOT),
        earlier=tuple,
        site=Site("bench-01", "demo", ROOT, hashlib.sha256(ROOT).hexdigest()),
        facts=StationFacts("development", None, "ab" * 16),
        panel=Peer(DescribePress=lambda press: {"press": press_record(press)}),
        recorder=Peer(
            DescribeReservation=lambda press: {"reservation": reservation(press)},
            DescribeOrder=lambda order: {"passed": 0, "open": 1},
        ),
        clock=Peer(Read=lambda: {"verdict": verdict()}),
    )
    return signer, book


def manifest(signer: Signer, n: int) -> str:
    return str(signer.sign_manifest(LINE, f"{n:032x}", passed())["envelope"])


def grow(signer: Signer, size: int, leaves: list[bytes] = LEAVES) -> str:
    old = int(signer.describe(LINE)["last_size"])
    proof = merkle.consistency_proof(old, size, merkle.node_of(leaves[:size])) if 0 < old < size else []
    root = base64_strict.encode(merkle.root_of(leaves[:size]))
    hashes = [base64_strict.encode(one) for one in proof]
    return str(signer.sign_checkpoint(LINE, size, root, hashes)["checkpoint"])


def refusals(signer: Signer, first: int, last: int) -> str:
    previous = statement.chain(statement.FIRST_HEAD, RECORDS[:first])
    records = RECORDS[first : last + 1]
    texts = [strict_json.encode(one).decode() for one in records]
    head = statement.chain(previous, records)
    return str(signer.sign_refusals(LINE, first, previous, head, texts)["envelope"])


STEPS: dict[str, Callable[[Signer], str]] = {
    "unit 1": lambda signer: manifest(signer, 1),
    "tree 2": lambda signer: grow(signer, 2),
    "batch 0": lambda signer: refusals(signer, 0, 1),
    "unit 2": lambda signer: manifest(signer, 2),
    "tree 5": lambda signer: grow(signer, 5),
    "unit 3": lambda signer: manifest(signer, 3),
    "batch 2": lambda signer: refusals(signer, 2, 3),
    "tree 9": lambda signer: grow(signer, 9),
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged")
    write(FILES, folder / "gen-1")
    (folder / "current").symlink_to("gen-1")
    return folder


@pytest.fixture
def work(staged: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Everything that a signer signs, with a ledger that is compacted on the way; what left is marked."""
    monkeypatch.setattr(ledger, "COMPACT_AT", 6)

    def workload(root: Path) -> None:
        signer, _book = opened(root, staged)
        for name, step in STEPS.items():
            mark(f"{name}={digest(step(signer))}")

    return workload


def check(case: Case, staged: Path) -> None:
    """Started without a hand, it gives what it gave, refuses what contradicts that, and carries on."""
    given = dict(one.split("=") for one in case.marks)
    signer, book = opened(case.root, staged)
    size = max((int(name.split()[1]) for name in given if name.startswith("tree")), default=0)
    try:
        for name, step in STEPS.items():
            if name.startswith("unit") and name in given:
                assert digest(step(signer)) == given[name], (case.why, name)
                with pytest.raises(ProoflineError, match="PL-SGN-032"):
                    signer.sign_manifest(LINE, f"{int(name[5:]):032x}", {**passed(), "stages": []})
        last = int(signer.describe(LINE)["last_size"])
        assert last >= size, case.why
        if last > 0:
            with pytest.raises(ProoflineError, match="PL-SGN-071"):
                grow(signer, 9, FORK)
            if f"tree {last}" in given:
                assert digest(grow(signer, last)) == given[f"tree {last}"], case.why
        # A batch that was answered is answered alike; one that was not is signed now.
        batches = [name for name in given if name.startswith("batch")]
        if batches:
            first = int(batches[-1][6:])
            again = digest(refusals(signer, first, first + 1)) if book.batch and book.batch.first == first else None
            assert again in {None, given[batches[-1]]}, case.why
        for name, step in STEPS.items():
            if name.startswith("unit") or (name.startswith("tree") and int(name[5:]) >= last):
                step(signer)
        if book.batch is None or book.batch.first == 0:
            refusals(signer, 0, 1)
            refusals(signer, 2, 3)
        assert int(signer.describe(LINE)["last_size"]) == 9, case.why
    finally:
        book.close()


def test_what_was_signed_stays_signed_when_the_signer_is_killed(
    work: Callable[[Path], None], staged: Path, tmp_path: Path
) -> None:
    cases = 0
    for case in killed_everywhere(work, tmp_path):
        check(case, staged)
        cases += 1
    assert cases > 50


def test_what_was_signed_stays_signed_when_the_power_is_cut(
    work: Callable[[Path], None], staged: Path, tmp_path: Path
) -> None:
    cases = 0
    for case in replayed_everywhere(work, tmp_path):
        check(case, staged)
        cases += 1
    assert cases > 50
