"""A whole site in a folder in a second or two: SoftHSM tokens for its people, a release desk, a first promotion.

    python -m hil.release_desk FOLDER            # tokens/, softhsm2.conf, desk/, pin

    site = DemoSite(folder)                      # makes it, or opens what is there
    with site.edit() as draft: draft.add_order(...)
    site.approve_and_promote("CHG-7")            # two approvers, each with the own token, then the desk
    site.desk.export(folder / "stick")

The approvers ada, bob and carol hold one token each, the desk holds its own; keys are made inside the tokens and never
leave them. Only the story, the benches and the tests use this: real people run `proofline release`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from appliance.release.desk import Desk
from appliance.release.draft import Draft
from appliance.release.roots import Approver, Online
from appliance.release.token import generate_key, open_key

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "271828"
APPROVERS = ("ada", "bob", "carol")
MACHINE = {"purpose": "virtual bench"}


def write_softhsm_conf(folder: Path) -> Path:
    """A SoftHSM of its own in `folder`; point SOFTHSM2_CONF at the path returned before a process's first use of it."""
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return conf


def make_token(conf: Path, label: str) -> None:
    """An empty token."""
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", PIN, "--pin", PIN],
        env={**os.environ, "SOFTHSM2_CONF": str(conf)},
        check=True,
        capture_output=True,
    )


def key_uri(label: str) -> str:
    """The URI of the one key in a token made here."""
    return f"pkcs11:token={label};object=release?module-path={MODULE}"


class DemoSite:
    """A site's people and its desk. The process's SoftHSM is this site's: one site in a process."""

    def __init__(self, folder: Path, *, site: str = "demo", now: datetime | None = None) -> None:
        self.folder = folder
        conf = folder / "softhsm2.conf"
        fresh = not conf.exists()
        if fresh:
            folder.mkdir(parents=True, exist_ok=True)
            write_softhsm_conf(folder)
        os.environ["SOFTHSM2_CONF"] = str(conf)
        if fresh:
            for label in (*APPROVERS, "desk"):
                make_token(conf, label)
            keys = {label: generate_key(key_uri(label), PIN) for label in (*APPROVERS, "desk")}
            Desk.create(
                folder / "desk",
                site=site,
                approvers=[Approver(person, keys[person]) for person in APPROVERS],
                online=Online(keys["desk"], "the virtual bench's desk"),
                place="virtual bench",
                machine=MACHINE,
                now=now or datetime.now(UTC),
            )
        self.desk = Desk(folder / "desk")
        if fresh:
            self.approve_and_promote("CHG-1000", now=now)

    @contextmanager
    def edit(self, now: datetime | None = None) -> Iterator[Draft]:
        with self.desk.edit(now or datetime.now(UTC)) as draft:
            yield draft

    def approve(self, person: str, ticket: str, now: datetime | None = None) -> None:
        """One approver's approval of the open proposal as it is."""
        expect = self.desk.proposal().digest
        with open_key(key_uri(person), PIN) as key:
            self.desk.approve(key, person=person, ticket=ticket, expect=expect, at=now or datetime.now(UTC))

    def promote(self, now: datetime | None = None) -> None:
        with open_key(key_uri("desk"), PIN) as key:
            self.desk.promote(key, now or datetime.now(UTC))

    def approve_and_promote(
        self, ticket: str, people: tuple[str, ...] = APPROVERS[:2], now: datetime | None = None
    ) -> None:
        for person in people:
            self.approve(person, ticket, now)
        self.promote(now)


if __name__ == "__main__":
    made = DemoSite(Path(sys.argv[1]).resolve())
    print(f"site {made.desk.site}: {made.desk.repository}")
