"""One SoftHSM with a provisioned token for a module's tests, and a signer that runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.custody.bench import Bench, Hsm, site


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Hsm:
    return Hsm(tmp_path_factory.mktemp("hsm") / "hsm")


@pytest.fixture(scope="module")
def keys(hsm: Hsm) -> list[dict[str, str]]:
    """The station's keys, made as an enrolment makes them."""
    hsm.token("bench-01")
    return hsm.provision(hsm.config("bench-01"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, hsm: Hsm, keys: list[dict[str, str]]) -> Iterator[Bench]:
    """A signer that the module's tests share."""
    bench = Bench(tmp_path_factory.mktemp("bench"), hsm, hsm.config("bench-01"))
    bench.stage(site(keys))
    bench.start()
    yield bench
    bench.close()


@pytest.fixture
def bench(running: Bench, keys: list[dict[str, str]]) -> Iterator[Bench]:
    """The shared signer with surroundings as they should be."""
    fresh = Bench.defaults()
    for name, value in fresh.items():
        setattr(running, name, value)
    yield running
    if running.restage:
        running.stage(site(keys))
        running.restage = False


@pytest.fixture
def alone(tmp_path: Path, hsm: Hsm, keys: list[dict[str, str]]) -> Iterator[Bench]:
    """A signer of one test's own, not started yet."""
    bench = Bench(tmp_path, hsm, hsm.config("bench-01"))
    bench.stage(site(keys))
    yield bench
    bench.close()
