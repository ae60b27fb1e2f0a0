"""The desk's people for these tests: each with a real token in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.release_desk import write_softhsm_conf
from tests.release.token_holder import TokenHolder

PEOPLE = ("ada", "bob", "carol", "dave", "desk", "desk2")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TokenHolder]]:
    """ada, bob, carol and dave may become approvers; desk and desk2 are online keys."""
    folder: Path = tmp_path_factory.mktemp("tokens")
    conf = write_softhsm_conf(folder)
    holders = {label: TokenHolder(conf, label) for label in PEOPLE}
    yield holders
    for holder in holders.values():
        holder.close()
