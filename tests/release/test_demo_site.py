"""The site that the story and the benches use is made by the desk, with tokens, and can be opened again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from appliance.verify.site import Directory, SiteTrust
from hil.release_desk import APPROVERS

ROOT = Path(__file__).parents[2]


def test_demo_site_is_made_once_and_opened_again(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hil.release_desk", str(tmp_path)]
    for _ in range(2):
        subprocess.run(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    repository = tmp_path / "desk" / "published" / "current"
    pinned = (repository / "metadata" / "1.root.json").read_bytes()
    site = SiteTrust.verify(Directory(repository), pinned)
    assert [one.person for one in site.approvals] == list(APPROVERS[:2])
    assert site.versions.targets == 1
