"""The image has no door for a person: decision 23's table, looked up in what was built."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.virtual_station.places import SCRATCH
from hil.virtual_station.tpm import words

ROOT = SCRATCH / "root"
PROGRAMS = ("agetty", "getty", "login", "sulogin", "su", "sudo", "sshd", "passwd", "openvt", "fbterm", "screen", "tmux")
UNITS = (
    "getty@",
    "serial-getty@",
    "console-getty",
    "debug-shell",
    "emergency",
    "rescue",
    "sshd",
    "systemd-sulogin-shell",
)
GENERATORS = ("getty", "debug", "ssh", "run", "rc-local", "sysv")


def found(pattern: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_program_lets_anybody_in(program: str) -> None:
    assert found(f"usr/*bin/{program}") == []


def test_no_unit_and_no_generator_gives_a_shell() -> None:
    assert [one for name in UNITS for one in found(f"*/**/systemd/**/{name}*")] == []
    assert [one for name in GENERATORS for one in found(f"usr/lib/systemd/system-generators/*{name}-generator")] == []


def test_nobody_has_a_password_or_a_shell() -> None:
    for line in (ROOT / "etc/shadow").read_text("ascii").splitlines():
        assert line.split(":")[1] == "!*", line
    for line in (ROOT / "etc/passwd").read_text("ascii").splitlines():
        assert line.endswith(":/usr/sbin/nologin"), line


def test_the_kernel_is_told_what_it_must_be_told_and_no_more() -> None:
    told = words().split(" ")
    assert {"rd.shell=0", "sysctl.kernel.sysrq=0", "gpt", "lockdown=integrity", "module.sig_enforce=1"} <= set(told)
    names = {one.partition("=")[0] for one in told}
    assert not names & {"init", "rdinit", "console", "systemd.debug_shell", "systemd.unit", "SYSTEMD_SULOGIN_FORCE"}


def test_the_first_program_has_no_shell_to_fall_into() -> None:
    init = (Path(__file__).resolve().parents[3] / "image/initrd/init").read_text("utf-8")
    assert not any(one in init for one in ("exec sh", "exec /bin/sh", "setsid", "cttyhack"))


def test_no_program_can_pretend_to_be_a_tpm() -> None:
    assert found("usr/lib/modules/*/kernel/drivers/char/tpm/tpm_vtpm_proxy*") == []


def test_the_card_has_the_environment_that_keeps_u_boot_from_listening() -> None:
    disk = SCRATCH / "out/disk.raw"
    with disk.open("rb") as file:
        boot = file.read(65 << 20)
    start = boot.index(b"arch=arm\0baudrate=")
    lines = boot[start : boot.index(b"\0\0", start)].split(b"\0")
    assert {b"bootdelay=-2", b"stdin=nulldev", b"boot_targets=mmc", b"bootcmd=bootflow scan; reset"} <= set(lines)
    assert not any(line.startswith((b"preboot=", b"usb")) for line in lines)
