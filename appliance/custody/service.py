"""The signer service: `python -m appliance.custody`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from appliance import durable, station
from appliance.custody import token_config
from appliance.custody.custodian import Custodian
from appliance.custody.errors import TokenConfigWrong
from appliance.custody.ledger import Ledger
from appliance.custody.signer import ACCESS, Signer
from appliance.custody.token import Token
from appliance.intake.staged import StagedSite, current_generation
from appliance.ipc import Client, serve
from appliance.verify.site import Directory, SiteTrust
from appliance.verify.site_errors import SiteError

_CALL_TIMEOUT_S = 10.0


def main(token_type: type[Token] = Token) -> None:
    """Serve `signer` with the token that PROOFLINE_TOKEN_CONFIG's file names."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    surroundings = station.Surroundings.from_environ()
    site = station.find_site(surroundings.site)
    custodian = Custodian(lambda: token_type.open(_config()))
    signer = Signer(
        custodian=custodian,
        ledger=Ledger(durable.Journal(surroundings.state / "signer.journal")),
        staged=StagedSite.of(surroundings.staged, site),
        earlier=lambda: earlier(surroundings.staged, site),
        site=site,
        facts=station.describe(),
        panel=_client(surroundings, "panel"),
        recorder=_client(surroundings, "recorder"),
        clock=_client(surroundings, "clock"),
    )
    serve("signer", signer, ACCESS, healthy=custodian.healthy, daemon=custodian.watch)


def earlier(staged: Path, site: station.Site | station.StationError) -> Iterator[SiteTrust]:
    """The generations before the current one that are still there and still hold, the newest first."""
    if isinstance(site, station.StationError):
        return
    for generation in range((current_generation(staged) or 1) - 1, 0, -1):
        folder = staged / f"gen-{generation}"
        if not folder.is_dir():
            return
        try:
            yield SiteTrust.verify(Directory(folder), site.root)
        except SiteError:
            continue


def _client(surroundings: station.Surroundings, role: str) -> Client:
    return Client(role, surroundings.run / f"{role}.sock", timeout_s=_CALL_TIMEOUT_S)


def _config() -> token_config.TokenConfig:
    try:
        return token_config.parse(Path(os.environ.get("PROOFLINE_TOKEN_CONFIG", "")).read_bytes())
    except OSError as error:
        raise TokenConfigWrong(field="PROOFLINE_TOKEN_CONFIG", why=str(error)) from None
