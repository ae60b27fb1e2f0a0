"""The image's figures, one JSON object a line: sizes, packages, and how tightly its units are held.

A reference is what the figure is held against; ratio is value / reference, and at most 1 is good. What takes a boot to
measure is not here: it is measured by the emulated station.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from image.builder import archive, bundle
from image.builder.tree import CHECKOUT, ToolsTree

MIB = 1 << 20
_OURS = ("systemd/units", "image/files/usr/lib/systemd/system")
"""Where in the checkout the units stand that are ours to answer for."""
_SLOT_MIB = 512.0


def figures(tools: ToolsTree) -> list[dict[str, object]]:
    """Everything that can be said of an image without starting it."""
    out, root = tools.scratch / "out", tools.scratch / "root"
    packages = [one for one in archive.read_lock(CHECKOUT / "image/packages.lock") if one.set == "image"]
    told = [
        _figure("uki_mib", _mib(out / "proofline.efi"), "MiB", 56.0),
        _figure("root_slot_mib", round(_mib(out / "root.erofs") + _mib(out / "root.verity"), 1), "MiB", _SLOT_MIB),
        _figure("root_content_mib", _content(root), "MiB", 256.0),
        _figure("image_mib", _mib(out / "disk.raw"), "MiB", None),
        # all but its signature, which is some kilobytes
        _figure("bundle_mib", _mib(bundle.pack(tools, bundle.built(out)).payload), "MiB", _SLOT_MIB),
        _figure("packages", len(packages), "packages", None),
    ]
    scores = {unit: _score(tools, unit) for unit in _units()}
    worst = max(scores, key=lambda unit: scores[unit])
    return [*told, {**_figure("security_worst", scores[worst], "exposure", 1.5), "worst": worst, "all": scores}]


def _units() -> list[str]:
    return sorted(path.name for folder in _OURS for path in (CHECKOUT / folder).glob("*.service"))


def _score(tools: ToolsTree, unit: str) -> float:
    # the command ends with 1 where a unit is above its threshold, which is set so that none is
    command = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        "--root=/scratch/root",
        "--threshold=100",
        "--no-pager",
        unit,
    ]
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", tools.ask(command))
    if found is None:
        raise ValueError(f"systemd-analyze says nothing of {unit}")
    return float(found[1])


def _content(root: Path) -> float:
    return round(
        sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()) / MIB, 1
    )


def _mib(path: Path) -> float:
    return round(path.stat().st_size / MIB, 1)


def _figure(name: str, value: float, unit: str, reference: float | None) -> dict[str, object]:
    ratio = None if reference is None else round(value / reference, 3)
    return {"figure": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio}


def lines(tools: ToolsTree) -> str:
    return "".join(json.dumps(one) + "\n" for one in figures(tools))
