"""One SoftHSM for the module; each test has a signer's ledger, a log and a recorder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scratch import memory
from tests.custody.bench import Hsm, site
from tests.recorder.desk import Desk


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Hsm:
    found = Hsm(tmp_path_factory.mktemp("hsm") / "hsm")
    found.token("bench-01")
    return found


@pytest.fixture(scope="module")
def keys(hsm: Hsm) -> list[dict[str, str]]:
    return hsm.provision(hsm.config("bench-01"))


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    with memory(tmp_path) as place:
        yield place


@pytest.fixture
def desk(scratch: Path, hsm: Hsm, keys: list[dict[str, str]]) -> Iterator[Desk]:
    """Everything staged, the signer and the recorder running."""
    found = Desk(scratch, hsm, hsm.config("bench-01"))
    found.stage(site(keys))
    found.open()
    found.start()
    yield found
    found.shut()
    found.close()
