"""A site's folder: what becomes a partition, and every kind of file that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import station
from appliance.card import erofs, site
from appliance.card.errors import (
    SiteFileRefused,
    SitePartitionUnreadable,
    TimeSourcesMissing,
    TimeSourcesRefused,
)
from appliance.card.layout import SITE
from appliance.errors import ProoflineError
from tests.card.workbench import site_files
from tests.release.forge import Forge, sign


def test_a_folder_becomes_a_partition_that_the_station_reads_back(site_folder: Path, tmp_path: Path) -> None:
    found = site.read_folder(site_folder)
    here = site.read_partition(found.image().ljust(site.LIMIT, b"\0"))
    assert here == found
    assert found.anchor == "sha256:" + sha256((site_folder / "root.json").read_bytes()).hexdigest()
    assert (found.site.station, found.site.site) == ("bench-01", "demo")
    assert found.servers == ("192.0.2.1", "2001:db8::1")
    mounted = tmp_path / "site"
    mounted.mkdir()
    for name, data in erofs.read(found.image()).items():
        (mounted / name).write_bytes(data)
    assert station.load_site(mounted) == found.site


def test_where_releases_are_fetched_is_told(site_folder: Path) -> None:
    assert "carrier" not in dict(site.read_folder(site_folder).words())
    _station(carrier="http://192.0.2.7/proofline")(site_folder)
    assert dict(site.read_folder(site_folder).words())["carrier"] == "http://192.0.2.7:80/proofline"
    _station(carrier="http://releases.example/")(site_folder)
    with pytest.raises(station.SiteUnreadable):
        site.read_folder(site_folder)


def test_the_same_files_make_the_same_bytes_whenever_they_were_written(site_folder: Path, tmp_path: Path) -> None:
    one = site.read_folder(site_folder).image()
    other = tmp_path / "copied-later"
    other.mkdir(mode=0o700)
    for path in sorted(site_folder.iterdir(), reverse=True):
        (other / path.name).write_bytes(path.read_bytes())
        (other / path.name).chmod(0o600)
        os.utime(other / path.name, (7, 7))
    assert site.read_folder(other).image() == one


def test_an_empty_partition_is_no_site() -> None:
    assert site.read_partition(site.no_site().ljust(site.LIMIT, b"\0")) is None


def test_what_is_wrong_inside_a_partition_is_refused_as_in_a_folder() -> None:
    with pytest.raises(station.SiteUnreadable):
        site.read_partition(erofs.make(site_files() | {"station.json": b"{}"}, SITE))
    with pytest.raises(SitePartitionUnreadable):
        site.read_partition(bytes(site.LIMIT))


def _write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / name).write_bytes(data))


def void(_: object) -> None:
    """What an edit returns does not matter."""


def _many(folder: Path) -> None:
    for number in range(40):
        (folder / f"n{number}.sources").touch()


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _station(**changes: object) -> Callable[[Path], None]:
    about = {"schema": 1, "station": "bench-01", "site": "demo"} | changes
    return _write("station.json", json.dumps(about).encode())


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "no root": (_remove("root.json"), "PL-STA-002"),
    "no station": (_remove("station.json"), "PL-STA-002"),
    "a station without a name": (_station(station=""), "PL-STA-002"),
    "a station with a path for a name": (_station(station="../a"), "PL-STA-002"),
    "a station of another schema": (_station(schema=2), "PL-STA-002"),
    "a station with more to say": (_station(key="secret"), "PL-STA-002"),
    "a station that is no JSON": (_write("station.json", b"{"), "PL-STA-002"),
    "a root that nobody signed": (_write("root.json", sign(Forge().root_document(1), [])), "PL-SIT-0"),
    "a root that one signed": (_write("root.json", sign(Forge().root_document(1), ["ada"])), "PL-SIT-0"),
    "a root that a stranger signed": (_write("root.json", sign(Forge().root_document(1), ["eve", "bob"])), "PL-SIT-0"),
    "a root that is no JSON": (_write("root.json", b"\xff"), "PL-SIT-0"),
    "a root that is too large": (_write("root.json", b" " * (1 << 19)), "PL-SIT-0"),
    "a private key": (_write("key.pem", b"-----BEGIN PRIVATE KEY-----"), "PL-CRD-010"),
    "an editor's copy": (_write("station.json~", b"{}"), "PL-CRD-010"),
    "a hidden file": (_write(".station.json.swp", b""), "PL-CRD-010"),
    "sources with capitals": (_write("Factory.sources", b"server 192.0.2.1\n"), "PL-CRD-010"),
    "a folder": (lambda folder: (folder / "more.sources").mkdir(), "PL-CRD-010"),
    "a link": (lambda folder: (folder / "x.sources").symlink_to("factory.sources"), "PL-CRD-010"),
    "a pipe": (lambda folder: os.mkfifo(folder / "x.sources"), "PL-CRD-010"),
    "too many files": (_many, "PL-CRD-010"),
    "a very large file": (lambda folder: os.truncate(folder / "factory.sources", 1 << 30), "PL-CRD-010"),
    "no time servers": (_remove("factory.sources"), "PL-CRD-012"),
    "sources that say nothing": (_write("factory.sources", b"# later\n"), "PL-CRD-012"),
    "a server twice": (_write("more.sources", b"server 192.0.2.1\n"), "PL-CRD-011"),
    "a server twice, spelled otherwise": (_write("more.sources", b"server 2001:DB8:0::1\n"), "PL-CRD-011"),
    "seventeen servers": (
        _write("more.sources", b"".join(b"server 198.51.100.%d\n" % number for number in range(17))),
        "PL-CRD-011",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_folder_that_is_not_a_sites_is_refused(case: str, site_folder: Path) -> None:
    edit, code = BAD[case]
    edit(site_folder)
    with pytest.raises(ProoflineError) as refusal:
        site.read_folder(site_folder)
    assert refusal.value.code.startswith(code), refusal.value


@pytest.mark.parametrize(
    "line",
    [
        "server ntp.example iburst",
        "server",
        "pool 192.0.2.1",
        "peer 192.0.2.1",
        "refclock SHM 0",
        "include /etc/passwd",
        "server 192.0.2.1 nts",
        "server 192.0.2.1 key 1",
        "server 192.0.2.1 port 124",
        "server 192.0.2.1 trust",
        "server 192.0.2.1 minpoll",
        "server 192.0.2.1 minpoll x",
        "server 192.0.2.1 maxpoll 99",
        "server 192.0.2.1 iburst extra",
        "server 192.0.2.999",
        "server 192.0.2.1/24",
        "server 224.0.1.1",
        "server 0.0.0.0",
        "server ff02::101",
        "server fe80::1%eth0",
        "SERVER 192.0.2.1",
        "sérver 192.0.2.1",
        "server 192.0.2.1\0",
    ],
)
def test_a_line_that_is_no_server_with_an_address_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(TimeSourcesRefused) as refusal:
        list(site.sources("a.sources", f"# one\n{line}\n".encode()))
    assert refusal.value.details["line"] == 2


def test_a_last_line_without_an_end_is_refused_because_chrony_drops_it() -> None:
    with pytest.raises(TimeSourcesRefused, match="has no end"):
        list(site.sources("a.sources", b"server 192.0.2.1"))


def test_too_long_sources_are_refused() -> None:
    with pytest.raises(TimeSourcesRefused):
        list(site.sources("a.sources", b"#\n" * 100_000))


@given(st.binary(max_size=300))
def test_other_sources_are_servers_or_are_refused(data: bytes) -> None:
    try:
        found = list(site.sources("a.sources", data))
    except TimeSourcesRefused:
        return
    assert len(found) <= data.count(b"server")


def test_a_refusal_names_the_file(site_folder: Path) -> None:
    (site_folder / "id_rsa").touch()
    with pytest.raises(SiteFileRefused, match="id_rsa"):
        site.read_folder(site_folder)
    (site_folder / "id_rsa").unlink()
    (site_folder / "factory.sources").unlink()
    with pytest.raises(TimeSourcesMissing, match="bench-01"):
        site.read_folder(site_folder)
