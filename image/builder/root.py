"""Makes the image's root file system from Debian's packages as mkosi installed them. Runs in the tools tree.

- What is put in: our package and the Python wheels of the lock, systemd/, image/files, the kernel modules of the list.
- What is taken out: package manager, logins, shells' helpers, documentation but for licences, everything written at
  build time that differs from build to build.
- Nothing that identifies a device is in it: no machine id, no host key, no random seed.
- Same inputs, same bytes: order, times, owners and compiled Python depend on the inputs alone.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from appliance.update.manifest import COMPATIBLE
from image.builder.archive import wanted

Words = list[str | os.PathLike[str]]
CHECKOUT = Path("/checkout")
SCRATCH = Path("/scratch")
SITE_PACKAGES = "usr/lib/python3/dist-packages"
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
_MADE = (
    "home",
    "srv",
    "site",
    "state",
    "efi",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "root",
    "var",
    "usr/share/proofline",
)


def make(base: Path, root: Path, *, epoch: int, kernel: Path, wheels: Path) -> None:
    """A root file system at `root`, from mkosi's at `base` (which stays as it is)."""
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
    subprocess.run([CHECKOUT / "systemd" / "install", root], check=True)
    subprocess.run(["cp", "-r", "--no-preserve=ownership", f"{CHECKOUT}/image/files/.", root], check=True)
    install_python(root, wheels, epoch)
    install_modules(root, kernel, (CHECKOUT / "systemd" / "modules.allow").read_text("utf-8"))
    install_documents(root)
    prune(root)
    accounts(root, epoch)
    settings(root, epoch)
    enable(root)
    compile_python(root)
    keep_var(root)
    settle(root, epoch)


def install_python(root: Path, wheels: Path, epoch: int) -> None:
    """Our package, compiled for arm64 by the tree's cross compiler, and the wheels of the lock."""
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
    pip: Words = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    build: Words = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", work / "wheels"]
    subprocess.run([*build, work / "source"], check=True, env=cross)
    for source in sorted(wheels.glob("*.tar.gz")):
        subprocess.run([*build, source], check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    files = sorted([*(work / "wheels").glob("*.whl"), *wheels.glob("*.whl")], key=lambda one: one.name)
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 28, 31, 34)] + ["linux_aarch64"]
    into: Words = [
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        target,
        "--python-version",
        "3.13",
        "--only-binary=:all:",
    ]
    flags = [flag for one in [*platforms, "manylinux2014_aarch64", "any"] for flag in ("--platform", one)]
    subprocess.run([*pip, "install", *into, *flags, *files], check=True)
    command = target / "bin" / "proofline"
    text = "#!/usr/bin/python3 -I\n" + command.read_text("utf-8").split("\n", 1)[1]
    (root / "usr/bin/proofline").write_text(text, "utf-8")
    (root / "usr/bin/proofline").chmod(0o755)
    shutil.rmtree(target / "bin")
    for path in [*target.glob("*.dist-info/direct_url.json"), *target.glob("*.dist-info/REQUESTED")]:
        path.unlink()
    for path in target.glob("*.dist-info/RECORD"):
        # it lists what pip compiled or moved, with hashes of what is made anew below
        path.unlink()


def install_modules(root: Path, kernel: Path, listing: str) -> None:
    """The modules that the list names and what they depend on, unpacked (the file system compresses)."""
    (version,) = [one.name for one in (kernel / "usr/lib/modules").iterdir()]
    source = kernel / "usr/lib/modules" / version
    names = modules(source, allowed(source, listing))
    for name in names:
        target = root / "usr/lib/modules" / version / name.removesuffix(".xz")
        target.parent.mkdir(parents=True, exist_ok=True)
        data = (source / name).read_bytes()
        target.write_bytes(lzma.decompress(data) if name.endswith(".xz") else data)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(source / name, root / "usr/lib/modules" / version / name)
    subprocess.run(["depmod", "--basedir", root, version], check=True)


def allowed(source: Path, listing: str) -> set[str]:
    """The files below `source` that a list allows: exact paths, or whole folders where a line ends with a slash."""
    there = {str(path.relative_to(source)) for path in (source / "kernel").rglob("*.ko*")}
    chosen: set[str] = set()
    for line in listing.splitlines():
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        name = f"kernel/{name}"
        chosen |= {
            one for one in there if (one.startswith(name) if name.endswith("/") else one in (name, f"{name}.xz"))
        }
    return chosen


def modules(source: Path, names: Iterable[str]) -> list[str]:
    """These modules and all that they depend on, each after what it needs."""
    if not (source / "modules.dep").exists():
        base = source.parents[3]
        if not (base / "lib").exists():
            (base / "lib").symlink_to("usr/lib")  # where depmod looks
        subprocess.run(["depmod", "--basedir", base, source.name], check=True)
    needs = {}
    for line in (source / "modules.dep").read_text("ascii").splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    ordered: dict[str, None] = {}
    for name in sorted(names):
        for one in (*reversed(needs[name]), name):
            ordered.setdefault(one)
    return list(ordered)


def install_documents(root: Path) -> None:
    """What a technician reads on the station, and the licences."""
    target = root / "usr/share/doc/proofline"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((CHECKOUT / "docs").glob("*.md")):
        shutil.copy(path, target / path.name)
    shutil.copy(CHECKOUT / "LICENSE", target / "copyright")


def prune(root: Path) -> None:
    for pattern in wanted(CHECKOUT / "image/packages/removed.list"):
        for path in root.glob(pattern):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                shutil.rmtree(path)
    for path in root.glob("usr/share/doc/*/*"):
        if path.name != "copyright" and path.parent.name != "proofline":
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
    for name in _MADE:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "root").chmod(0o700)


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


def compile_python(root: Path) -> None:
    """All Python compiled, by content and not by time: the station never compiles, and no clock has a say."""
    for path in [*root.glob("usr/lib/python3*/**/__pycache__")]:
        shutil.rmtree(path, ignore_errors=True)
    for folder in ("usr/lib/python3.13", SITE_PACKAGES):
        command: Words = ["-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", root, "-p", "/", root / folder]
        # some packages ship Python 2 templates that do not compile, and are never imported
        subprocess.run([sys.executable, "-I", *command], check=False, capture_output=True)


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
