"""The whole recorder, killed at every file effect and replayed onto every disk a power cut could leave.

A unit is reserved and recorded, refusals are journalled and committed, and the next unit is reserved. After each crash:
who was told "reserved", "recorded" or "journalled" finds it so; repeating what was under way gives what it would have
given; each refusal is in the log once; nothing needs a hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from appliance import durable
from appliance.evidence import base64_strict, checkpoint, note, statement
from appliance.evidence.envelope import Envelope, Signature, encode, pae
from appliance.evidence.label import canonical_digest
from appliance.evidence.log import recount
from appliance.ipc import Caller
from appliance.recorder.facts import Batch, Concluded, Reserved, read
from appliance.recorder.peers import OwnSite
from appliance.recorder.service import Recorder
from appliance.station import Site
from tests.crash.harness import Case, killed_everywhere, mark, replayed_everywhere
from tests.crash.scratch import memory
from tests.evidence import samples
from tests.recorder.local_signer import Files
from tests.release.forge import Forge, key, spki, write

LINE = Caller(0, 0, "line")
ORIGIN = "demo.example/bench-01"
DEVICES = [{"part": samples.PART, "uid": f"{0x32003400 + at:08x}11514d4c38363200"} for at in range(3)]
REFUSAL = {"code": "PL-CLK-001", "operator": "", "engineer": "no time", "action": "", "details": {}}


def press(number: int) -> str:
    return f"{number:032x}"


class Panel:
    """Knows three presses."""

    def call(self, verb: str, /, **parameters: Any) -> dict[str, Any]:
        assert verb == "DescribePress"
        number = int(parameters["press"], 16)
        record = {
            "press": press(number),
            "order": "WO-1",
            "event": "provision",
            "label": None,
            "operator": {"id": "olga", "method": "badge"},
            "boot_id": "0b" * 16,
            "monotonic_ms": number,
        }
        return {"press": {**record, "digest": canonical_digest({"schema": 1, **record}), "finished": False}}


class Signer:
    """Signs with the forger's station keys and remembers, as the real one does, before it answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def call(self, verb: str, /, **parameters: Any) -> dict[str, Any]:
        if verb == "Describe":
            return {"last_size": 0, **self._recall("last")}
        if verb == "SignCheckpoint":
            root = base64_strict.decode(parameters["root"])
            assert root is not None
            body = checkpoint.encode_body(checkpoint.Checkpoint(ORIGIN, parameters["size"], root))
            signature = note.NoteSignature(
                ORIGIN,
                note.key_id(ORIGIN, note.ECDSA, spki("c1")),
                key("c1").sign(body.encode(), ECDSA(SHA256())),
            )
            self._remember("last", {"last_size": parameters["size"], "last_root": parameters["root"]})
            return {"checkpoint": note.encode(note.Note(body, (signature,))).decode()}
        assert verb == "SignRefusals"
        records = [json.loads(one) for one in parameters["records"]]
        journal = {"first": parameters["first"], "last": records[-1]["n"]}
        journal |= {"previous": parameters["previous"], "head": parameters["head"]}
        document = {**samples.refusals(), "journal": journal, "records": records}
        return {"envelope": signed(statement.build_refusals(document))}

    def manifest(self, number: int, reservation: dict[str, Any]) -> str:
        """The same envelope for the same press, also after a crash."""
        known: dict[str, str] = self._recall(f"manifest-{number}")
        if not known:
            predicate = samples.predicate(number, DEVICES[number]["uid"])
            predicate["event"]["reservation"] = {name: reservation[name] for name in ("index", "digest")}
            known = {"envelope": signed(statement.build_manifest(predicate))}
            self._remember(f"manifest-{number}", known)
        return known["envelope"]

    def _recall(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found

    def _remember(self, name: str, document: dict[str, Any]) -> None:
        durable.write_atomic(self._folder / name, json.dumps(document).encode())


def signed(payload: bytes) -> str:
    signature = key("m1").sign(pae(statement.STATEMENT_PAYLOAD, payload), ECDSA(SHA256()))
    return encode(Envelope(statement.STATEMENT_PAYLOAD, payload, (Signature(signature),))).decode()


@cache
def site_files() -> dict[str, bytes]:
    return Forge().files()


class Bench:
    """A recorder under `root`, on a site staged elsewhere."""

    def __init__(self, root: Path, staged: Path) -> None:
        self.root, self.signer = root, Signer(root / "signer")
        site = Site("bench-01", "demo", site_files()["metadata/1.root.json"], "00" * 32)
        self.recorder = Recorder(
            root / "state",
            root / "published",
            OwnSite(staged, site),
            self.signer,
            Panel(),
            boot_id="0b" * 16,
            space_kib=0,
        )

    def reserve(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.recorder.reserve(LINE, press(number), DEVICES[number])["reservation"]
        return found

    def record(self, number: int) -> dict[str, Any]:
        return self.recorder.append(LINE, self.signer.manifest(number, self.reserve(number)))

    def journal(self) -> int:
        return int(self.recorder.journal_refusal(LINE, "refusal", press(9), "olga", REFUSAL)["n"])

    def outcome(self, number: int) -> dict[str, Any]:
        return self.recorder.press_outcome(LINE, press(number))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("staged")
    write(site_files(), folder / "gen-1")
    (folder / "current").symlink_to("gen-1")
    return folder


@pytest.fixture
def initial(tmp_path: Path, staged: Path) -> Iterator[Path]:
    """What a recorder finds that worked before: one unit recorded."""
    with memory(tmp_path) as folder:
        for name in ("state", "published", "signer"):
            (folder / name).mkdir()
        bench = Bench(folder, staged)
        bench.record(0)
        bench.recorder.close()
        yield folder


def work(root: Path, staged: Path) -> None:
    bench = Bench(root, staged)
    mark(f"reserved 1 {bench.reserve(1)['digest']}")
    mark(f"recorded 1 {bench.record(1)['digest']}")
    mark(f"journalled {bench.journal()}")
    mark(f"journalled {bench.journal()}")
    bench.recorder.commit_refusals(LINE)
    mark(f"journalled {bench.journal()}")
    mark(f"reserved 2 {bench.reserve(2)['digest']}")
    bench.recorder.log.catch_up()
    bench.recorder.close()


def check(case: Case, staged: Path) -> None:
    bench = Bench(case.root, staged)
    try:
        promised = {tuple(one.split()[:2]): one.split()[-1] for one in case.marks}
        journalled = sum(one.startswith("journalled") for one in case.marks)
        assert bench.recorder.describe(LINE)["journal"] >= journalled, case.why
        bench.recorder.log.catch_up()
        for number in (1, 2):
            digest = promised.get(("reserved", str(number)))
            if digest is not None:
                found = bench.recorder.describe_reservation(LINE, press(number))["reservation"]
                assert found is not None, case.why
                assert found["digest"] == digest, case.why
        recorded = promised.get(("recorded", "1"))
        if recorded is not None:
            assert bench.outcome(1)["digest"] == recorded, case.why
        # What the line does after a crash: it asks, and repeats what was not answered.
        if bench.outcome(1).get("verdict") is None:
            bench.record(1)
        bench.reserve(2)
        bench.journal()
        bench.recorder.commit_refusals(LINE)
        bench.recorder.log.catch_up()
        check_log(bench, case)
    finally:
        bench.recorder.close()


def check_log(bench: Bench, case: Case) -> None:
    """Recounted from what is published: one reservation and one manifest a press, each refusal once."""
    published = case.root / "published"
    found, _ = checkpoint.parse((published / "checkpoint").read_bytes(), ORIGIN)
    facts = [read(entry) for _, entry in recount(Files(published), found)]
    reserved = [one.press for one in facts if isinstance(one, Reserved)]
    assert sorted(reserved) == [press(0), press(1), press(2)], case.why
    assert [one.press for one in facts if isinstance(one, Concluded)] == [press(0), press(1)], case.why
    records = [n for one in facts if isinstance(one, Batch) for n in range(one.first, one.last + 1)]
    assert records == list(range(bench.recorder.describe(LINE)["journal"])), case.why
    for number in (0, 1):
        assert (published / f"proofs/{press(number)}.tlog-proof").exists(), case.why


@pytest.mark.slow
def test_a_killed_recorder_keeps_its_word(scratch: Path, initial: Path, staged: Path) -> None:
    for case in killed_everywhere(lambda root: work(root, staged), scratch, initial):
        check(case, staged)


@pytest.mark.slow
def test_a_recorder_whose_power_was_cut_keeps_its_word(scratch: Path, initial: Path, staged: Path) -> None:
    for case in replayed_everywhere(lambda root: work(root, staged), scratch, initial, mixtures=1):
        check(case, staged)
