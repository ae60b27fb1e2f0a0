"""The state partition without a TPM, by the very script, on a loop device of this machine: made, used, damaged, reset.

What needs the device mapper, and the power cuts, are in test_boot_state.py. The script sees this machine's block
devices through a view that holds the one loop device and nothing else, with the names that its table gives: not every
kernel that runs this reads partition tables.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from appliance.update import slotstate
from hil.tests.image.test_boot_state import ordering
from hil.virtual_station import gpt
from hil.virtual_station.places import CHECKOUT, SCRATCH, STATIONS, TREE, inside
from image.builder.tree import StepFailed, ToolsTree

_AROUND = """set -eu
packages=/usr/lib/python3/dist-packages
mount -t overlay -o lowerdir=$packages:/scratch/root$packages overlay $packages
mount -t tmpfs tmpfs /srv
mkdir -p /srv/view/DISK/DISKp1 /srv/view/DISK/DISKp2
cat /sys/block/DISK/size >/srv/view/DISK/size
for one in 1 2; do
    ln -s "DISK/DISKp$one" "/srv/view/DISKp$one"
    echo "$one" >"/srv/view/DISK/DISKp$one/partition"
    touch "/srv/view/DISK/DISKp$one/uevent"
done
NAMES
mount --bind /srv/view /sys/class/block
mount --bind /checkout/appliance $packages/appliance
mkfifo /srv/console
exec 9<>/srv/console
cat <&9 >/srv/console.txt &
reader=$!
mount --bind /srv/console /dev/console
mount --bind /dev/null /dev/kmsg
mount -t tmpfs tmpfs /run
mkdir -p /state /usr/share /usr/lib/proofline
mount -t tmpfs tmpfs /usr/share
mkdir -p /usr/share/proofline && cp -a /scratch/root/usr/share/proofline/var /usr/share/proofline/
mount --bind /checkout/image/files/usr/lib/proofline /usr/lib/proofline
code=0
sh /usr/lib/proofline/boot/state SLOT >/srv/said 2>&1 || code=$?
sleep 0.2
kill $reader
cat /srv/console.txt /srv/said
echo "ended with $code"
[ $code != 0 ] || { cat /run/proofline-state.json; LOOK; }
"""


class Machine:
    """A card in a loop device. `boot` runs the script as the first program does."""

    def __init__(self, name: str) -> None:
        folder = STATIONS / name
        folder.mkdir(parents=True, exist_ok=True)
        self.card = folder / "card.raw"
        self.card.write_bytes(bytes(4 << 20))
        self._tools = ToolsTree(TREE, SCRATCH)
        layout = "label: gpt\\nfirst-lba: 2048\\nstart=1MiB, size=1MiB, name=proofline-slots\\n"
        self._tools.ask(["sh", "-c", f"printf '{layout}' | sfdisk --quiet {inside(self.card)}"])
        with self.card.open("r+b") as file:
            file.seek(1 << 20)
            file.write(slotstate.encode(slotstate.commit(slotstate.fresh("a"), "a")))
            file.truncate(64 << 20)

    def boot(self, look: str = ":", *, slot: str = "a") -> str:
        command = ["losetup", "--find", "--show", "--partscan", str(self.card)]
        device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        try:
            disk, names = device.removeprefix("/dev/"), sorted(self.names())  # -slots comes before -state
            for number in range(1, len(names) + 1):
                self._tools.ask(["partx", "--add", "--nr", str(number), device])
            told = [f"echo PARTNAME={name} >/srv/view/DISK/DISKp{at}/uevent" for at, name in enumerate(names, 1)]
            words = _AROUND.replace("NAMES", "\n".join(told)).replace("DISK", disk)
            words = words.replace("SLOT", slot).replace("LOOK", look)
            return self._tools.ask(["sh", "-c", words])
        finally:
            subprocess.run(["losetup", "--detach", device], check=True)

    def names(self) -> set[str]:
        card = self.card.read_bytes()
        found = gpt.names(lambda at, length: card[at : at + length], len(card))
        assert found is not None
        return set(found)


def about(said: str) -> dict[str, object]:
    (line,) = [line for line in said.splitlines() if line.startswith('{"schema":1,"id"')]
    document = json.loads(line)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    try:
        yield Machine(f"loop-{request.node.name}")
    except StepFailed as failed:
        raise AssertionError(str(failed)) from failed


def test_it_is_made_once_and_used_from_then_on(machine: Machine) -> None:
    first = machine.boot("cat /etc/machine-id; ls -d /var/lib/proofline /var/log/journal /var/lib/chrony")
    assert "proofline: state: plain: this machine has no TPM" in first
    assert machine.names() == {"proofline-slots", "proofline-state"}
    second = machine.boot("cat /etc/machine-id")
    assert about(first) | {"made": False} == about(second)
    assert first.splitlines()[-4] == second.splitlines()[-1]


def test_a_slot_has_its_own_var_and_shares_what_the_page_lists(machine: Machine) -> None:
    script = (CHECKOUT / "image/files/usr/lib/proofline/boot/state").read_text("utf-8")
    found = re.search(r"^SHARED='(.*)'$", script, re.MULTILINE)
    assert found is not None
    listed = [f"/var/{one}" for one in found[1].split()]
    page = (CHECKOUT / "docs/image.md").read_text("utf-8").partition("Shared between slots, and nothing else:")[2]
    assert re.findall(r"`(/var/[^`]*)`", page.partition(". The machine id")[0]) == listed
    machine.boot(f"touch /var/own /var/lib/own; for one in {' '.join(listed)}; do touch $one/shared; done")
    said = machine.boot("find /var -name own -o -name shared | sort", slot="b")
    assert said.splitlines()[-3:] == sorted(f"{one}/shared" for one in listed)
    back = machine.boot("find /var -name own | sort")
    assert back.splitlines()[-2:] == ["/var/lib/own", "/var/own"]


def test_what_was_made_and_does_not_open_is_left_as_it_is(machine: Machine) -> None:
    machine.boot()
    with machine.card.open("r+b") as file:
        file.seek(2 << 20)
        file.write(bytes(8192))
    before = machine.card.read_bytes()[2 << 20 :]
    said = machine.boot()
    assert "neither a sealed nor a plain state (nothing known); nothing was changed" in said
    assert "ended with 75" in said
    assert machine.card.read_bytes()[2 << 20 :] == before


def test_a_proven_reset_makes_a_new_state_and_leaves_nothing_of_the_old(machine: Machine) -> None:
    secret = "what nobody may read again"
    first = machine.boot(f"echo '{secret}' >/var/lib/proofline/secret; sync; {ordering(0)}")
    assert secret.encode() in machine.card.read_bytes()
    second = machine.boot()
    assert "proofline: state: wiped" in second
    assert about(second)["made"] is True
    assert about(second)["id"] != about(first)["id"]
    assert secret.encode() not in machine.card.read_bytes()


def test_a_mark_for_another_log_wipes_nothing(machine: Machine) -> None:
    first = machine.boot(ordering(1))
    second = machine.boot("ls /var/lib/proofline/reset")
    assert "reset refused: PL-RST-010" in second
    assert about(second) == about(first) | {"made": False}
    assert second.splitlines()[-1] == "refused.json"
