"""Makes the image's root file system on the ground that others laid (`image.builder.ground`). Runs in the tools tree.

- What is put in: our package, systemd/, image/files, accounts, settings.
- Nothing that identifies a device is in it: no machine id, no host key, no random seed.
- Same inputs, same bytes: order, times, owners and compiled Python depend on the inputs alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from appliance.update.manifest import COMPATIBLE
from image.builder import ground
from image.builder.ground import CHECKOUT, SCRATCH, SITE_PACKAGES

_MASKED = (
    # nobody logs in
    "systemd-logind.service",
    "systemd-user-sessions.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    # made for systems that change themselves
    "systemd-firstboot.service",
    "systemd-update-done.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "ldconfig.service",
    "systemd-repart.service",
    "systemd-network-generator.service",
    "systemd-networkd-persistent-storage.service",
    "systemd-udev-load-credentials.service",
    "systemd-initctl.socket",
    "systemd-sysext.socket",
    "systemd-hostnamed.socket",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    # nothing here uses them
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-tracing.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "modprobe@drm.service",
    "modprobe@fuse.service",
    "modprobe@configfs.service",
)


def make(root: Path, *, epoch: int) -> None:
    """A root file system at `root`, from everybody else's (`image.builder.ground`) and ours."""
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", ground.made(), root], check=True)
    subprocess.run([CHECKOUT / "systemd" / "install", root], check=True)
    subprocess.run(["cp", "-r", "--no-preserve=ownership", f"{CHECKOUT}/image/files/.", root], check=True)
    install_package(root, epoch)
    install_documents(root)
    accounts(root, epoch)
    settings(root, epoch)
    enable(root)
    keep_var(root)
    settle(root, epoch)


def install_package(root: Path, epoch: int) -> None:
    """Our own package, compiled for arm64 by the tree's cross compiler."""
    target = root / SITE_PACKAGES
    work = SCRATCH / "python"
    shutil.rmtree(work, ignore_errors=True)
    (work / "source").mkdir(parents=True)
    listed = (SCRATCH / "sources.txt").read_text("utf-8").splitlines()
    for name in listed:
        (work / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, work / "source" / name)
    headers = SCRATCH / "loose" / "libpython3.13-dev" / "usr" / "include"
    cross = {
        **os.environ,
        "CC": "aarch64-linux-gnu-gcc",
        "LDSHARED": "aarch64-linux-gnu-gcc -shared",
        "CFLAGS": f"-I{headers} -I{headers}/python3.13 -ffile-prefix-map={work}/source=. -g0",
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "SOURCE_DATE_EPOCH": str(epoch),
    }
    ground.build_wheel(work / "source", work / "wheels", cross)
    ground.install_wheels(root, sorted((work / "wheels").glob("*.whl")))
    command = target / "bin" / "proofline"
    text = "#!/usr/bin/python3 -I\n" + command.read_text("utf-8").split("\n", 1)[1]
    (root / "usr/bin/proofline").write_text(text, "utf-8")
    (root / "usr/bin/proofline").chmod(0o755)
    shutil.rmtree(target / "bin")
    ground.compile_python(root, [f"{SITE_PACKAGES}/appliance"])


def install_documents(root: Path) -> None:
    """What a technician reads on the station, and the licences."""
    target = root / "usr/share/doc/proofline"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((CHECKOUT / "docs").glob("*.md")):
        shutil.copy(path, target / path.name)
    shutil.copy(CHECKOUT / "LICENSE", target / "copyright")


def accounts(root: Path, epoch: int) -> None:
    """Users of the units; every file of accounts sorted, without a day of its making, no password in any."""
    subprocess.run(
        ["systemd-sysusers", f"--root={root}"], check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    )
    for name in ("passwd", "group", "shadow", "gshadow"):
        path = root / "etc" / name
        lines = sorted(path.read_text("ascii").splitlines(), key=lambda line: (line.split(":")[0] != "root", line))
        if name == "shadow":
            # a fixed day: systemd and PAM read an empty one as "never changed", 0 as "must change"
            lines = [":".join([line.split(":")[0], "!*", "1", "", "", "", "", "", ""]) for line in lines]
        if name == "passwd":
            lines = [re.sub(r":[^:]*$", ":/usr/sbin/nologin", line) for line in lines]
        path.write_text("\n".join(lines) + "\n", "ascii")
    for path in root.glob("etc/*-"):
        path.unlink()
    (root / "etc/.pwd.lock").unlink(missing_ok=True)


def settings(root: Path, epoch: int) -> None:
    """The few files of /etc and /usr/lib that say what this image is."""
    release = [
        'PRETTY_NAME="Proofline station"',
        "NAME=Proofline",
        "ID=proofline",
        "ID_LIKE=debian",
        "VERSION_CODENAME=trixie",
        "IMAGE_ID=proofline-station",
        # no version: the UKI names it, and the same root may be stamped with another one
        f"PROOFLINE_COMPATIBLE={COMPATIBLE}",
    ]
    (root / "usr/lib/os-release").write_text("\n".join(release) + "\n", "ascii")
    (root / "etc/machine-id").write_text("", "ascii")
    (root / "etc/hostname").write_text("proofline-station\n", "ascii")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 proofline-station\n", "ascii")
    (root / "etc/fstab").write_text("tmpfs /dev/shm tmpfs rw,nosuid,nodev,noexec 0 0\n", "ascii")
    (root / "usr/lib/proofline").mkdir(exist_ok=True)
    # a place for what is only known at boot: see image/initrd/init
    (root / "usr/lib/proofline/image.json").write_text("{}\n", "ascii")
    subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], check=True)
    floor = root / "usr/lib/clock-epoch"
    floor.touch()
    os.utime(floor, (epoch, epoch))


def enable(root: Path) -> None:
    """The presets decide, and nothing else."""
    shutil.rmtree(root / "etc/systemd/system")
    (root / "etc/systemd/system").mkdir()
    for name in _MASKED:
        (root / "etc/systemd/system" / name).symlink_to("/dev/null")
    subprocess.run(
        ["systemctl", f"--root={root}", "--preset-mode=enable-only", "preset-all"], check=True, capture_output=True
    )
    (root / "etc/systemd/system/default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")


def keep_var(root: Path) -> None:
    """What packages put into /var becomes what a slot's /var starts from (image/files/usr/lib/proofline/boot/state)."""
    kept = root / "usr/share/proofline/var"
    (root / "var").rename(kept)
    for name in ("lib/proofline", "lib/chrony", "log/journal", "lib/systemd", "tmp", "cache", "log"):
        (kept / name).mkdir(parents=True, exist_ok=True)
    (kept / "tmp").chmod(0o1777)
    for name, target in (("run", "/run"), ("lock", "/run/lock")):
        (kept / name).unlink(missing_ok=True)
        (kept / name).symlink_to(target)
    (root / "var").mkdir()


def settle(root: Path, epoch: int) -> None:
    """No time later than the release's own, and no file that only one build has."""
    for path in [*root.glob("**/*.pyo"), *root.glob("usr/lib/locale/C.utf8/**/*.tmp")]:
        path.unlink()
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            os.utime(Path(folder) / name, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
