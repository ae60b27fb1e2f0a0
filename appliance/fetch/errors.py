"""Why a carrier was not fetched. Codes `PL-FET-001` to `PL-FET-029`.

- 001-009 the server and the way to it, 010-019 what it gave, 020-029 this station.
- None of them stops anything: the station works on with what it has, and asks again in an hour.
- 012 is told here and refused by intake, by its own name: what came is handed to it, and that is what is on record.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class FetchError(ProoflineError):
    """The site's carrier is not here yet."""

    operator = "The station could not fetch its releases. It works on with what it has."
    engineer = "{url}: {why}"
    action = "Nothing at once: it asks again in an hour. If it goes on, look at the server, or bring a stick."


class ServerSilent(FetchError):
    code = "PL-FET-001"


class ServerSlow(FetchError):
    code = "PL-FET-002"
    engineer = "{url}: not complete after {seconds} s"


class ServerRefused(FetchError):
    code = "PL-FET-003"
    engineer = "{url}: the server answers {status}"
    action = "Check that the exported carrier lies at this address (station.json, carrier)."


class ServerRedirects(FetchError):
    code = "PL-FET-004"
    engineer = "{url}: the server sends elsewhere ({status}), which is not followed"
    action = "Serve the carrier at the address that station.json names."


class ServerNonsense(FetchError):
    code = "PL-FET-005"


class AnswerShort(FetchError):
    code = "PL-FET-011"
    engineer = "{url}: the connection ended after {found} of {expected} bytes"


class AnswerOther(FetchError):
    code = "PL-FET-012"
    engineer = "{url}: not what the site approved: {why}"
    action = "Export the carrier to the server again; the desk's own copy says what it should be."


class NoRoom(FetchError):
    code = "PL-FET-020"
    engineer = "{needed} bytes are needed, {free} are free"
    action = "Export the evidence, or use a bigger card."
