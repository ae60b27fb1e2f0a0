"""Signatures: through the signer's door, with all it checks and remembers, against a bare session that is held."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from appliance.evidence import merkle
from hil.bench.figures import say, show
from hil.local_station.bench_station import LocalStation
from hil.local_station.office import STATION, WorkOrder
from hil.local_station.place import CHECKOUT
from hil.local_station.speak import Voice
from hil.local_station.supervisor import separate_users
from hil.release_desk import MODULE, PIN

_SECONDS = 3.0
_BARE = """
import sys, time, pkcs11
module, label, pin, seconds = sys.argv[1:]
token = pkcs11.lib(module).get_token(token_label=label)
with token.open(user_pin=pin) as session:
    key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="manifest")
    digest = bytes(32)
    for _ in range(50):
        key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
    count, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < float(seconds):
        key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
        count += 1
print(count / took)
"""


def bare_sign_per_s(folder: Path, seconds: float = _SECONDS) -> float:
    """P-256 signatures a second of a station's token in one held session: nothing but C_Sign."""
    place = folder / "token"
    told = subprocess.run(
        [sys.executable, "-c", _BARE, MODULE, STATION, PIN, str(seconds)],
        env={**os.environ, "SOFTHSM2_CONF": os.fspath(place / "softhsm2.conf")},
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(told.stdout)


def through_the_signer(folder: Path) -> None:
    """Checkpoints of a growing tree, each checked for consistency and remembered durably before it is released."""
    say("signatures a second through the signer")
    with LocalStation.make(folder, [WorkOrder("WO-1", 1)]) as station:
        bare = bare_sign_per_s(folder)
        if not separate_users():
            say("not root: the signer cannot be asked as the recorder; sign_per_s is left out")
            return
        with station.client("recorder") as recorder:
            assert recorder.call("Describe")["size"] == 0
        tree = merkle.CompactRange()
        leaves: list[bytes] = []
        with Voice(station.supervisor, "recorder") as voice:
            count, started = 0, time.perf_counter()
            while (took := time.perf_counter() - started) < _SECONDS:
                leaf = merkle.leaf_hash(json.dumps(count).encode())
                leaves.append(leaf)
                tree.append(leaf)
                proof = merkle.consistency_proof(count, count + 1, merkle.node_of(leaves)) if count else []
                told = [base64.b64encode(one).decode() for one in proof]
                root = base64.b64encode(tree.root()).decode()
                voice.call("signer", "SignCheckpoint", size=count + 1, root=root, consistency=told)
                count += 1
    show(
        "sign_per_s",
        count / took,
        "signatures/s",
        bare,
        reference_is="C_Sign alone in a held session (P-256)",
        ours_includes="the call, the consistency check, a durable record, verification in software",
    )
