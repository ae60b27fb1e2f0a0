"""The units as systemd itself reads them: no complaint, a sandbox score within bounds, and the sameness that no single
unit shows. Judged offline, in a tree of its own, by the systemd of this machine."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.clock import config as clock_config
from appliance.ipc.service import ROLES
from appliance.panel import config as panel_config
from appliance.update.verdict import UNITS, VERBS, unit_of
from appliance.usbgate import config as usb_config

SYSTEMD = Path(__file__).parents[2] / "systemd"
SERVICES = sorted(path.name for path in (SYSTEMD / "units").glob("proofline-*.service"))
IMAGE = SYSTEMD.parent / "image/files/usr/lib/systemd/system"
IMAGE_SERVICES = sorted(path.name for path in IMAGE.glob("*.service"))
SERVING = tuple(VERBS)
WORST = 1.5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image's root with our files in it, and as much of a system as `systemd-analyze verify` asks for."""
    place = tmp_path_factory.mktemp("root")
    subprocess.run([SYSTEMD / "install", place], check=True)
    system = Path("/lib/systemd/system")  # /usr/lib where /lib leads there, and on a Debian 12 that was not merged
    shutil.copytree(system, place / "usr/lib/systemd/system", symlinks=True, dirs_exist_ok=True)
    (place / "usr/bin").mkdir(parents=True)
    for program in ("python3", "busctl", "systemctl", "rauc"):
        (place / "usr/bin" / program).write_text("#!/bin/sh\n")
        (place / "usr/bin" / program).chmod(0o755)
    for path in IMAGE.iterdir():
        if path.is_file():
            shutil.copy(path, place / "usr/lib/systemd/system")
    shutil.copytree(IMAGE.parents[1] / "proofline", place / "usr/lib/proofline", dirs_exist_ok=True)
    return place


def analyze(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat", "LANG": "C.UTF-8"}
    command = ["systemd-analyze", f"--root={root}", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_systemd_has_nothing_to_say_about_our_units(root: Path) -> None:
    ours = [path.name for folder in (SYSTEMD / "units", IMAGE) for path in sorted(folder.iterdir()) if path.is_file()]
    told = analyze(root, "verify", "--man=no", *ours)
    about_ours = [line for line in (told.stdout + told.stderr).splitlines() if any(name in line for name in ours)]
    assert about_ours == []


def test_verify_would_tell_of_a_misspelt_line(root: Path, tmp_path: Path) -> None:
    bent = tmp_path / "bent"
    shutil.copytree(root, bent, symlinks=True)
    unit = bent / "usr/lib/systemd/system/proofline-clock.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze(bent, "verify", "--man=no", "proofline-clock.service").stderr


@pytest.mark.parametrize("service", [*SERVICES, "hardware-watchdog.service", *IMAGE_SERVICES])
def test_each_unit_is_as_tight_as_promised(root: Path, service: str) -> None:
    told = analyze(root, "security", "--offline=true", "--no-pager", service)
    found = re.search(rf"exposure level for {re.escape(service)}: ([0-9.]+)", told.stdout)
    assert found is not None, told.stderr
    assert float(found[1]) <= WORST, told.stdout


def read(name: str, folder: Path = SYSTEMD / "units") -> configparser.ConfigParser:
    """A unit's sections; of a setting that stands more than once the last one."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read(folder / name)
    return parser


@pytest.mark.parametrize("role", SERVING)
def test_a_service_runs_as_its_own_user_behind_its_own_door(role: str) -> None:
    service, socket = read(unit_of(role))["Service"], read(f"proofline-{role}.socket")["Socket"]
    assert (service["User"], service["Group"]) == (f"proofline-{role}", f"proofline-{role}")
    assert (service["Type"], service["Restart"], service["StateDirectory"]) == ("notify", "always", f"proofline/{role}")
    assert int(service["WatchdogSec"]) > 0
    assert socket["ListenStream"] == f"/run/proofline/{role}.sock"
    room = service["ExecStart"].removeprefix("/usr/bin/python3 -I -m ").replace(".", "/")
    assert (SYSTEMD.parent / room / "__main__.py").is_file()


def test_there_is_a_unit_for_each_service_and_no_other() -> None:
    assert {name.removesuffix(".service").removeprefix("proofline-") for name in SERVICES} == {
        *SERVING,
        "health",
        "update",
        "fetch",
    }


def test_every_role_has_a_user_of_the_name_by_which_peers_are_known() -> None:
    lines = (SYSTEMD / "sysusers.d/proofline.conf").read_text().splitlines()
    users = [line.split() for line in lines if line.startswith("u ")]
    assert {user[1] for user in users} == {f"proofline-{role}" for role in (*ROLES, "fetch")}
    numbers = [user[2] for user in users]
    assert len(set(numbers)) == len(numbers)
    assert all(number.isdigit() for number in numbers), "fixed: the state partition outlives the image"


def test_nobody_is_in_a_user_namespace_for_peers_would_be_nobody() -> None:
    for unit in (*SERVICES, "proofline-.service.d/10-sandbox.conf"):
        assert "PrivateUsers" not in read(unit)["Service"]


def test_only_those_who_need_the_network_have_one() -> None:
    with_network = {name for name in SERVICES if read(name)["Service"].get("PrivateNetwork") != "yes"}
    services = {"proofline-clock.service", "proofline-usbgate.service", "proofline-fetch.service"}
    assert with_network == services  # the gate: udev's netlink alone
    assert "AF_INET" not in read("proofline-usbgate.service")["Service"]["RestrictAddressFamilies"]


def test_what_a_restart_ends_has_not_failed_but_is_no_verdict_on_the_boot_either() -> None:
    """A program that runs once and is told to end counts as failed, unless its unit says otherwise. A slot must not be
    kept because a restart ended what judges it."""
    units = {name: read(name) for name in SERVICES} | {name: read(name, IMAGE) for name in IMAGE_SERVICES}
    once = {name: unit["Service"] for name, unit in units.items() if unit["Service"].get("Type") == "oneshot"}
    told = {name for name, service in once.items() if service.get("SuccessExitStatus") == "SIGTERM"}
    assert told == once.keys() - {"proofline-health.service", "slot-commit.service"}


def test_no_common_line_is_said_otherwise_by_a_unit() -> None:
    """A drop-in wins over the unit: a unit's own word would silently not count. Lists are added up instead."""
    lists = {"Environment", "SystemCallFilter", "InaccessiblePaths"}
    common = read("proofline-.service.d/10-sandbox.conf")["Service"].keys() - lists
    for name in SERVICES:
        assert not common & read(name)["Service"].keys(), name


def test_the_firewall_opens_for_users_that_there_are_and_no_others() -> None:
    rules = (SYSTEMD / "nftables.conf").read_text()
    assert rules.count("policy drop;") == 3
    named = set(re.findall(r'"([a-z_-]+)"', rules)) - {"lo"}
    assert named == {"_chrony", "systemd-network", "proofline-clock", "proofline-export", "proofline-fetch"}


def test_what_health_asks_for_is_enabled() -> None:
    preset = (SYSTEMD / "preset/50-proofline.preset").read_text().splitlines()
    for unit in (*UNITS, "proofline.target", "proofline-*.service", "proofline-*.socket"):
        assert f"enable {unit}" in preset
    assert preset[-1] == "disable *"


def test_the_images_settings_are_read_by_their_services() -> None:
    clock = clock_config.parse_config((SYSTEMD / "share/clock.json").read_bytes())
    assert clock.chronyc == ("-h", "/run/chrony/chronyd.sock")
    assert "bindcmdaddress /run/chrony/chronyd.sock" in (SYSTEMD / "share/chrony.conf").read_text().splitlines()
    usb = usb_config.parse((SYSTEMD / "share/usbgate.json").read_bytes(), "usbgate.json")
    panel = json.loads((SYSTEMD / "share/panel.json").read_text())
    for machine in panel["boards"]:
        assert panel_config.parse((SYSTEMD / "share/panel.json").read_bytes(), "panel.json", (machine,)).chip
    assert "linux,dummy-virt" in usb
    # not brcm,bcm2711: a Compute Module 4 has that name, too, and its ports are its carrier board's
    assert usb.keys() == {"raspberrypi,4-model-b", "raspberrypi,3-model-b", "linux,dummy-virt"}


def test_the_kernel_touches_no_device_before_the_gate() -> None:
    lines = (SYSTEMD / "kernel-command-line").read_text().splitlines()
    parameters = [line for line in lines if line and not line.startswith("#")]
    assert "usbcore.authorized_default=0" in parameters
    assert all(" " not in parameter for parameter in parameters)
