"""The updater over real files: a verified site, a bundle, a station's records. Up to the moment when RAUC is asked;
what RAUC says is shown with RAUC (hil/tests/image)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import load_pem_x509_certificate
from hypothesis import given
from hypothesis import strategies as st

from appliance import station
from appliance.errors import ProoflineError
from appliance.generations import Generations
from appliance.update import manifest, records
from appliance.update.rauc import Rauc
from appliance.update.update_errors import BundleMalformed
from appliance.update.updater import Places, Updater
from appliance.verify.site_images import Version
from tests.release.forge import Forge, key, sha
from tests.release.images import certificate, image_document

BOARD = "proofline-arm64"
NO_BUS = Rauc(("--address=unix:path=/nonexistent/bus",), patience_s=0)
RAUC_WAS_ASKED = "PL-UPD-021"
RUNS = {"version": "0.1.0", "compatible": BOARD, "verity": "sha256:" + "11" * 32, "slot": "A"}


def manifest_text(**changes: str) -> bytes:
    fields = {"compatible": BOARD, "version": "0.2.0", "format": "verity", "root": "900", **changes}
    return (
        f"[update]\ncompatible={fields['compatible']}\nversion={fields['version']}\n\n[bundle]\nformat={fields['format']}\n"
        f"\n[image.boot]\nsize=100\n\n[image.root]\nsize={fields['root']}\n\n[image.hash]\nsize=10\n"
    ).encode()


def bundle(text: bytes) -> bytes:
    """A bundle with this manifest: some payload, a real signature, its length."""
    signer = load_pem_x509_certificate(certificate("release"))
    builder = PKCS7SignatureBuilder().set_data(text).add_signer(signer, key("release"), SHA256())
    cms = builder.sign(Encoding.DER, [PKCS7Options.Binary])
    return b"hsqs" * 1000 + cms + len(cms).to_bytes(8, "big")


GOOD = bundle(manifest_text())


@dataclass
class Bench:
    """A station's files."""

    folder: Path
    places: Places = field(init=False)
    journal: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = ("site", "staged", "update", "runtime", "bundle", "slots", "blocks")
        for name in names:
            (self.folder / name).mkdir()
        site, staged, state, runtime, bundles, slots, blocks = (self.folder / name for name in names)
        self.places = Places(site, staged, state, runtime, bundles, slots, self.folder / "image.json", blocks)
        self.places.image.write_text(json.dumps(RUNS), "utf-8")
        (site / "station.json").write_text('{"schema":1,"station":"bench-01","site":"demo"}', "utf-8")
        for name, size in (("boot", 100), ("root", 1024), ("hash", 512)):
            device = blocks / f"vda-{name}"
            device.mkdir()
            (device / "uevent").write_text(f"DEVNAME=vda\nPARTNAME=proofline-{name}-b\n", "utf-8")
            (device / "size").write_text(f"{-(-size // 512)}\n", "utf-8")
        self.commit()

    def commit(self, *, floor: Version = records.NO_FLOOR, boot_id: str | None = None) -> None:
        boot = station.describe(self.places.image).boot_id if boot_id is None else boot_id
        records.save_committed(self.places.slots, records.Committed(boot, "a", Version(0, 1, 0), RUNS["verity"], floor))

    def promote(self, promoted: bytes = GOOD, *, brought: bytes | None = None, **document: Any) -> None:
        """An image is promoted and staged, and a bundle lies there as intake leaves it."""
        forge = Forge()
        documents: dict[str, Any] = forge.documents
        version = document.pop("version", "0.2.0")
        documents["images/keyring.pem"] = certificate("release")
        documents[f"images/{BOARD}/{version}.json"] = image_document(version, bundle=promoted, **document)
        documents[f"images/{BOARD}/{version}.raucb"] = promoted
        files = forge.files()
        (self.places.site / "root.json").write_bytes(files["metadata/1.root.json"])
        generations = Generations(self.places.staged, keep=1, public=True)
        staged = {path: content for path, content in files.items() if not path.endswith(".raucb")}
        generations.publish(generations.prepare(staged))
        (self.places.bundles / f"{sha(promoted)}.raucb").write_bytes(promoted if brought is None else brought)
        (self.places.bundles / "wanted.json").write_text(json.dumps({"sha256": sha(promoted)}), "utf-8")

    def run(self) -> dict[str, Any]:
        """One run; what the status says then."""
        Updater(
            self.places, NO_BUS, journal=lambda refusal: self.journal.append(refusal.code), line_busy=lambda: None
        ).run()
        status: dict[str, Any] = json.loads((self.places.state / "status.json").read_bytes())
        return status

    def outcome(self) -> str:
        status = self.run()
        return str(status["refusal"]["code"]) if status["state"] == "refused" else str(status["state"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_promoted_bundle_that_is_what_it_should_be_goes_to_rauc(bench: Bench) -> None:
    bench.promote()
    assert bench.outcome() == RAUC_WAS_ASKED
    assert (bench.places.runtime / "keyring.pem").read_bytes() == certificate("release")


TAMPERED = GOOD[:50] + bytes([GOOD[50] ^ 1]) + GOOD[51:]


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda bench: bench.promote(brought=GOOD[:-1]), "PL-UPD-002"),
        (lambda bench: bench.promote(brought=b""), "PL-UPD-002"),
        (lambda bench: bench.promote(brought=GOOD + b"x"), "PL-UPD-002"),
        (lambda bench: bench.promote(brought=TAMPERED), "PL-UPD-003"),
        (lambda bench: bench.promote(b"no bundle at all"), "PL-UPD-004"),
        (lambda bench: bench.promote(bundle(manifest_text(format="plain"))), "PL-UPD-004"),
        (lambda bench: bench.promote(bundle(manifest_text(compatible="other-board"))), "PL-UPD-006"),
        (lambda bench: bench.promote(bundle(manifest_text(version="0.1.9"))), "PL-UPD-007"),
        (lambda bench: bench.promote(bundle(manifest_text(root="1025"))), "PL-UPD-008"),
    ],
)
def test_a_bundle_is_refused_by_name(bench: Bench, prepare: Callable[[Bench], None], code: str) -> None:
    prepare(bench)
    assert bench.outcome() == code
    assert bench.journal == [code]
    assert not records.load_intended(bench.places.state), "nothing was meant to be installed"


def test_a_bundle_that_cannot_be_read_is_refused_by_name(bench: Bench) -> None:
    bench.promote()
    (bench.places.bundles / f"{sha(GOOD)}.raucb").unlink()
    assert bench.outcome() == "PL-UPD-001"


def test_a_bundle_that_nobody_brought_yet_is_waited_for(bench: Bench) -> None:
    bench.promote()
    (bench.places.bundles / f"{sha(GOOD)}.raucb").unlink()
    (bench.places.bundles / "wanted.json").unlink()
    assert (bench.outcome(), bench.journal) == ("idle", [])


def test_what_is_below_the_floor_is_refused_by_name(bench: Bench) -> None:
    bench.commit(floor=Version(0, 3, 0))
    bench.promote()
    assert bench.outcome() == "PL-UPD-010"


@pytest.mark.parametrize(
    "document", [{"stations": ["bench-02"]}, {"verity": RUNS["verity"]}], ids=["for another station", "runs already"]
)
def test_what_is_not_wanted_here_is_no_refusal(bench: Bench, document: dict[str, Any]) -> None:
    bench.promote(**document)
    assert (bench.outcome(), bench.journal) == ("idle", [])


def test_a_station_that_is_not_enrolled_is_at_rest(bench: Bench) -> None:
    bench.promote()
    (bench.places.site / "root.json").unlink()
    (bench.places.site / "station.json").unlink()
    status = bench.run()
    assert (status["state"], status["why"]) == ("idle", "PL-STA-003")


def test_a_station_to_which_nothing_was_released_is_at_rest(bench: Bench) -> None:
    bench.promote()
    (bench.places.staged / "current").unlink()
    assert (bench.outcome(), bench.journal) == ("idle", [])


def test_a_staged_generation_that_does_not_verify_is_not_believed(bench: Bench) -> None:
    bench.promote()
    (bench.places.site / "root.json").write_bytes(Forge(version=9).files()["metadata/1.root.json"].replace(b"1", b"2"))
    assert bench.outcome().startswith("PL-SIT-")


def test_before_the_boot_was_found_good_nothing_is_done(bench: Bench) -> None:
    bench.promote()
    bench.commit(boot_id="of-another-boot")
    assert (bench.outcome(), bench.journal) == ("idle", [])


@pytest.mark.parametrize("name", ["update/history.json", "slots/committed.json"])
def test_damaged_records_stop_updates_and_are_named(bench: Bench, name: str) -> None:
    bench.promote()
    (bench.folder / name).write_text("{", "utf-8")
    assert bench.outcome() in {"PL-SLT-006", "PL-UPD-023"}


def test_a_refusal_goes_on_record_once_and_is_told_at_each_run(bench: Bench) -> None:
    bench.promote(brought=TAMPERED)
    assert [bench.outcome(), bench.outcome()] == ["PL-UPD-003", "PL-UPD-003"]
    assert bench.journal == ["PL-UPD-003"]


def test_an_image_that_was_given_up_is_told_recorded_and_not_tried_again(bench: Bench) -> None:
    bench.promote()
    document = f"sha256:{sha(next(bench.places.staged.glob('gen-*/targets/images/*/*.0.2.0.json')).read_bytes())}"
    armed = records.Attempt(Version(0, 2, 0), document, "sha256:" + "ab" * 32, "b", "an-earlier-boot", "installed")
    records.save_history(bench.places.state, records.History((armed,)))
    assert bench.outcome() == "PL-UPD-011"
    assert bench.journal == ["PL-UPD-022", "PL-UPD-011"]
    assert bench.outcome() == "PL-UPD-011"
    assert len(bench.journal) == 2


def test_what_is_installed_waits_for_the_line_and_then_asks_for_the_restart(bench: Bench) -> None:
    bench.promote()
    boot = station.describe(bench.places.image).boot_id
    armed = records.Attempt(Version(0, 2, 0), "sha256:00", "sha256:" + "ab" * 32, "b", boot, "installed")
    records.save_history(bench.places.state, records.History((armed,)))
    busy = iter(["the line is working", None])
    refusals: list[ProoflineError] = []
    Updater(bench.places, NO_BUS, journal=refusals.append, line_busy=lambda: next(busy)).run()
    assert (refusals, next(busy, "asked twice")) == ([], "asked twice")
    assert (bench.places.runtime / "restart").exists()


@given(st.binary(max_size=300))
def test_anything_is_a_manifest_or_refused(data: bytes) -> None:
    for reader in (manifest.enveloped, manifest.parse):
        try:
            reader(data)
        except BundleMalformed:
            continue


@given(st.integers(0, 1200), st.integers(1, 255))
def test_a_signature_with_any_byte_changed_is_a_manifest_or_refused(at: int, change: int) -> None:
    length = int.from_bytes(GOOD[-8:], "big")
    cms = bytearray(GOOD[-8 - length : -8])
    cms[at % length] ^= change
    try:
        manifest.parse(manifest.enveloped(bytes(cms)))
    except BundleMalformed:
        pass
