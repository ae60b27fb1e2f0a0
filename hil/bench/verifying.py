"""Manifest verifications a second on one core, every check on, against bare P-256 verification of the same bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from appliance.evidence import envelope, statement
from appliance.verify.policy import Level, Policy
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_times import Interval
from appliance.verify.verifier import Verifier
from hil.bench.figures import median, say, show
from hil.bench.units import unit_s
from hil.local_station.bench_station import LocalStation
from hil.local_station.office import STATION, WorkOrder

_SECONDS = 2.0


def manifests(folder: Path) -> None:
    """Real manifests with their proofs: signature, key, schema, references, inclusion in the log."""
    say("verifications a second")
    with LocalStation.make(folder, [WorkOrder("WO-1", 100)]) as station:
        station.sign_in()
        station.choose("WO-1")
        for _ in range(8):
            unit_s(station)
        root = (folder / "site" / "root.json").read_bytes()
        trust = SiteTrust.verify(Directory(station.carrier), root)
        proofs = station.evidence / "log" / "proofs"
        units = [
            (path.read_bytes(), path.with_name(path.name.replace(".manifest.json", ".tlog-proof")).read_bytes())
            for path in sorted(proofs.glob("*.manifest.json"))
        ]
    now = datetime.now(UTC)
    policy = Policy(minimum=Level.SIGNED, allow_development=True, accept_expired=False, require_pass=True)
    verifier = Verifier(trust, policy, Interval(now, now))
    entries = [entry for entry, _ in units]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    verify = _bare(trust, entries)
    ours, bare, single = [], [], []
    for _ in range(3):
        bare.append(_rate(verify, len(entries)))
        ours.append(_rate(lambda at: verifier.check_manifest(entries[at]), len(entries)))
        single.append(_rate(lambda at: verifier.check_unit(*units[at]), len(units)))
    sizes = sorted(len(entry) for entry in entries)
    show(
        "verify_per_s_core",
        median(ours),
        "manifests/s",
        median(bare),
        reference_is="bare ECDSA P-256 verification of the same messages (cryptography)",
        entry_bytes=sizes[len(sizes) // 2],
        checks="envelope, schema and cross-field rules, key, role, station, validity, site references",
        with_a_proof_and_checkpoint_of_its_own_each=round(median(single)),
    )


def _bare(trust: SiteTrust, entries: list[bytes]) -> Callable[[int], object]:
    station = trust.stations().station(STATION)
    assert station is not None
    public = load_der_public_key(next(key.public for key in station.keys if key.purpose == "manifest"))
    assert isinstance(public, EllipticCurvePublicKey)
    algorithm = ECDSA(SHA256())
    signed = []
    for entry in entries:
        found = envelope.decode(entry, {statement.STATEMENT_PAYLOAD})
        signed.append((found.signatures[0].sig, envelope.pae(found.payload_type, found.payload)))
    return lambda at: public.verify(*signed[at], algorithm)


def _rate(work: Callable[[int], object], among: int) -> float:
    count, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < _SECONDS:
        for at in range(among):
            work(at)
        count += among
    return count / took
