"""What `pip install proofline` brings: the product, never the bench, and with nothing but the base lock a verifier."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGED = {".py", ".pyi", ".varlink", ".bin", ".typed"}
EXTENSION = "appliance/swd/_core.abi3.so"  # the station's; built from appliance/swd/core, which itself stays out


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that the checkout stays clean and old build folders stay out."""
    source = tmp_path_factory.mktemp("source")
    for name in ("appliance", "hil"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info", "*.so")
        )
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", source / "dist", source),
        cwd=source,
    )
    (built,) = (source / "dist").glob("proofline-*.whl")
    return built


def test_the_wheel_is_the_package_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "appliance").rglob("*")
        if path.is_file() and path.suffix in PACKAGED and not {"__pycache__", "build"} & {*path.parts}
    }
    assert names == sources | {EXTENSION}
    assert any(name.endswith(".varlink") for name in names)
    assert not any(name.startswith(("hil", "tests")) for name in names)


def test_the_wheel_is_one_for_every_python(wheel: Path) -> None:
    assert "-cp311-abi3-linux" in wheel.name


def test_the_wheel_carries_its_licence_and_its_command(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        (commands,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "proofline = appliance.cli:main" in archive.read(commands).decode()


@pytest.mark.slow
def test_the_base_install_is_a_verifier(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--require-hashes", "--only-binary=:all:", "-r", ROOT / "requirements" / "base.txt", cwd=tmp_path)
    run(*pip, "--no-deps", "--no-index", wheel, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    assert "verify" in run(tmp_path / "venv" / "bin" / "proofline", "verify", "--help", cwd=tmp_path)
    loaded = run(python, "-c", "import sys, appliance.verify.cli, appliance.cli; print(*sys.modules)", cwd=tmp_path)
    assert not any(name.startswith("appliance.swd") for name in loaded.split())
