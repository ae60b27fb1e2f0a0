"""Bundles as the real RAUC of Debian 13 sees them, with the station's own configuration: in the tools tree, on a bus of
its own. What needs the kernel's verity (writing a slot) is shown in the image: test_boot_update.py."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from appliance.card.layout import SLOT_FILES
from appliance.update import manifest
from appliance.update.rauc import Rauc
from appliance.update.update_errors import BundleMalformed, BundleSignerRefused, InstallerSilent, InstallFailed
from hil.virtual_station.places import CHECKOUT, SCRATCH, TREE, inside
from hil.virtual_station.signing import Signer, make_signer
from image.builder import bundle
from image.builder.tree import StepFailed, ToolsTree

FOLDER = SCRATCH / "rauc"
SITE = "site"
_BUS = """<busconfig><type>system</type><listen>unix:path={door}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>"""

_SYSTEM_BUS = """<busconfig><type>system</type><listen>unix:path={door}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/>
<allow receive_type="signal"/><allow send_destination="org.freedesktop.DBus"/></policy>
<include>{policy}</include></busconfig>"""
"""As Debian's system bus, with the image's policy for RAUC."""
_ASK_AS = """
mount --bind "$1/passwd" /etc/passwd
dbus-daemon --nofork --config-file="$1/bus.conf" &
until [ -S "$1/bus" ]; do sleep 0.1; done
export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$1/bus"
rauc -c "$1/system.conf" service &
until busctl --system status de.pengutronix.rauc >/dev/null 2>&1; do sleep 0.1; done
for user in 879 876 877 65534 0; do
    setpriv --reuid "$user" --clear-groups busctl --system get-property \
        de.pengutronix.rauc / de.pengutronix.rauc.Installer Operation >/dev/null 2>&1 && echo "$user" || true
done
"""


@dataclass
class Station:
    """A station's RAUC with a keyring, and an unsigned bundle."""

    unsigned: bundle.Unsigned
    rauc: Rauc
    keyring: Path

    def trust(self, *signers: Signer) -> None:
        self.keyring.write_bytes(b"".join(one.cert.read_bytes() for one in signers))

    def signed(self, name: str, signer: Signer) -> Path:
        output = FOLDER / f"{name}.raucb"
        bundle.sign(self.unsigned, str(signer.key), signer.cert, output)
        return output

    def check(self, path: Path) -> None:
        self.rauc.check(Path(inside(path)), "0.2.0", self.keyring)


def _content(name: str) -> bytes:
    """Bytes that do not compress, so that the bundle has a hash tree worth the name."""
    return b"".join(sha256(f"{name} {number}".encode()).digest() for number in range(10_000))


def _slot() -> bundle.Slot:
    folder = FOLDER / "slot"
    folder.mkdir()
    for name in SLOT_FILES.values():
        (folder / name).write_bytes(_content(name))
    return bundle.Slot(folder, "0.2.0", "sha256:" + "00" * 32)


def _configure(config: Path, keyring: Path, backend: Path) -> None:
    """The station's own configuration, with places of this machine."""
    text = (CHECKOUT / "image/files/etc/rauc/system.conf").read_text("utf-8")
    text = text.replace("/run/proofline-update/keyring.pem", inside(keyring))
    config.write_text(text.replace("/usr/lib/proofline/boot/slots", inside(backend)), "utf-8")
    backend.write_text("#!/bin/sh\necho a\n", "utf-8")
    backend.chmod(0o755)


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    keyring, backend, config, door = (FOLDER / name for name in ("keyring.pem", "slots", "system.conf", "bus"))
    _configure(config, keyring, backend)
    (FOLDER / "bus.conf").write_text(_BUS.format(door=inside(door)), "utf-8")
    services = (
        f"dbus-daemon --nofork --config-file={inside(FOLDER / 'bus.conf')} & "
        f"until [ -S {inside(door)} ]; do sleep 0.1; done; "
        f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={inside(door)} exec rauc -c {inside(config)} service"
    )
    command: list[str | Path] = [CHECKOUT / "image/builder/in_tree", TREE, CHECKOUT, SCRATCH]
    command += ["unshare", "--pid", "--fork", "--kill-child"]
    with (FOLDER / "services.txt").open("wb") as output:
        running = subprocess.Popen(
            [*command, "sh", "-c", services], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        unsigned = bundle.pack(ToolsTree(TREE, SCRATCH), _slot())
        rauc = Rauc((f"--address=unix:path={door}",), patience_s=60)
        with pytest.raises(BundleSignerRefused):  # it answers
            rauc.check(FOLDER / "nothing", "0", keyring)
        yield Station(unsigned, rauc, keyring)
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def site() -> Signer:
    return make_signer(FOLDER / "keys", SITE)


def test_a_bundle_of_ours_is_one_before_rauc(station: Station, site: Signer) -> None:
    station.trust(site)
    path = station.signed("good", site)
    station.check(path)
    with path.open("rb") as file:
        found = manifest.read(file)
    assert (found.compatible, found.version) == ("proofline-arm64", "0.2.0")
    assert found.sizes == {kind: len(_content(name)) for kind, name in SLOT_FILES.items()}


def test_every_byte_that_rauc_reads_of_the_payload_is_under_the_signature(station: Station, site: Signer) -> None:
    station.trust(site)
    good, bad = station.signed("whole", site), FOLDER / "flipped.raucb"
    data = bytearray(good.read_bytes())
    data[100] ^= 1
    bad.write_bytes(data)
    command = ["rauc", "-c", inside(FOLDER / "system.conf"), "extract"]
    tools = ToolsTree(TREE, SCRATCH)
    tools.ask([*command, inside(good), inside(FOLDER / "whole")])
    with pytest.raises(StepFailed):
        tools.ask([*command, inside(bad), inside(FOLDER / "flipped")])


def test_a_signer_whom_the_site_does_not_know_is_refused(station: Station, site: Signer) -> None:
    station.trust(site)
    with pytest.raises(BundleSignerRefused):
        station.check(station.signed("stranger", make_signer(FOLDER / "keys", "stranger")))


def test_one_of_several_signers_of_a_site_is_enough(station: Station, site: Signer) -> None:
    other = make_signer(FOLDER / "keys", "other")
    station.trust(site, other)
    station.check(station.signed("by-other", other))


def test_a_certificate_that_is_not_for_code_is_refused(station: Station) -> None:
    mail = make_signer(FOLDER / "keys", "mail", purpose="emailProtection")
    station.trust(mail)
    with pytest.raises(BundleSignerRefused):
        station.check(station.signed("mail", mail))


def test_a_manifest_that_was_changed_after_it_was_signed_is_refused(station: Station, site: Signer) -> None:
    station.trust(site)
    path = station.signed("changed", site)
    data = path.read_bytes()
    before, _, after = data.rpartition(b"version=0.2.0")  # the one inside the signature
    path.write_bytes(before + b"version=9.2.0" + after)
    with pytest.raises(BundleSignerRefused):
        station.check(path)


def test_what_rauc_cannot_install_is_named_and_leaves_rauc_at_work(station: Station, site: Signer) -> None:
    """No slot of this configuration is on this machine."""
    station.trust(site)
    path = station.signed("nowhere", site)
    for _again in range(2):
        with pytest.raises(InstallFailed):
            station.rauc.install(Path(inside(path)), "0.2.0", "boot.1", lambda percent: None)
    station.check(path)


def test_a_bus_without_rauc_is_named() -> None:
    with pytest.raises(InstallerSilent):
        Rauc((f"--address=unix:path={FOLDER}/no-bus",), patience_s=0).install(
            FOLDER, "0.2.0", "boot.1", lambda percent: None
        )


def test_two_makings_have_the_same_bytes_before_they_are_signed(station: Station) -> None:
    before = station.unsigned.digest
    slot = bundle.Slot(FOLDER / "slot", "0.2.0", "")
    assert bundle.pack(ToolsTree(TREE, SCRATCH), slot).digest == before


@pytest.mark.parametrize("cut", [1, 8, 9, 300, 5000])
def test_a_bundle_that_is_cut_off_has_no_manifest(station: Station, site: Signer, cut: int) -> None:
    data = station.signed("cut", site).read_bytes()
    path = FOLDER / "cut.raucb"
    path.write_bytes(data[:-cut])
    with path.open("rb") as file, pytest.raises(BundleMalformed):
        manifest.read(file)


def test_nobody_but_the_updater_may_call_rauc(station: Station) -> None:
    """On a bus with the image's policy: not root, not intake, not health, not a stranger."""
    folder = FOLDER / "policed"
    folder.mkdir()
    _configure(folder / "system.conf", station.keyring, folder / "slots")
    policy = CHECKOUT / "image/files/usr/share/dbus-1/system.d/de.pengutronix.rauc.conf"
    (folder / "policy.conf").write_bytes(policy.read_bytes())
    text = _SYSTEM_BUS.format(door=inside(folder / "bus"), policy=inside(folder / "policy.conf"))
    (folder / "bus.conf").write_text(text, "utf-8")
    users = {"root": 0, "proofline-intake": 876, "proofline-health": 877, "proofline-update": 879, "nobody": 65534}
    lines = (f"{name}:x:{number}:{number}::/:/usr/sbin/nologin\n" for name, number in users.items())
    (folder / "passwd").write_text("".join(lines), "ascii")
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-uc", _ASK_AS, "ask", inside(folder)]
    assert ToolsTree(TREE, SCRATCH).ask(apart).split() == ["879"]
