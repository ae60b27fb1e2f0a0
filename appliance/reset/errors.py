"""Why a station does not obey a reset order. Codes `PL-RST-NNN`; nothing was changed, whichever it is.

- 001-009 the order is not for this station or not for now, 010-019 the station holds what the order does not cover,
  020-029 it cannot be told.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class ResetError(ProoflineError):
    """The station keeps what it holds."""

    operator = "The site ordered this station to be reset, and it did not obey. Nothing was changed."
    action = "Compare the order with what the station says, and propose a right one."


class NotThisState(ResetError):
    code = "PL-RST-001"
    engineer = "Order {order} names state {wanted}; this is state {found}: an order works once, and on one card."
    action = "If the station was reset already, take the order out. Else compare the id with the station's console."


class NotYetValid(ResetError):
    code = "PL-RST-002"
    engineer = "Order {order} holds from {since}; it is {latest} at the latest."
    action = "Wait: the station looks again by itself."


class OrderExpired(ResetError):
    code = "PL-RST-003"
    engineer = "Order {order} held until {until}; it is {earliest} at the earliest."
    action = "Propose a new order."


class TimeUnknown(ResetError):
    code = "PL-RST-004"
    engineer = "Order {order} holds for a time, and the clock cannot say that this is it."
    action = "Look at the station's time servers; the station looks again by itself."


class SiteExpired(ResetError):
    code = "PL-RST-005"
    engineer = "The site's word is {status} (until {until}), and no reset rests on it."
    action = "Renew the repository and bring it again."


class LogGoesOn(ResetError):
    code = "PL-RST-010"
    engineer = "Order {order} covers {wanted} entries of the log; the station holds {found}."
    action = "Export the log again, prove it, and propose a new order for what it holds now."


class LogDiffers(ResetError):
    code = "PL-RST-011"
    engineer = "Order {order} covers a log of {size} entries with root {wanted}; the station's has {found}."
    action = "The export is not this station's log, or one of them was changed: find out which before anything else."


class RefusalsGoOn(ResetError):
    code = "PL-RST-012"
    engineer = "Order {order} covers {wanted} refusals up to {wanted_head}; the station recorded {found}, up to {head}."
    action = "Let the station sign them into its log (with a new key, where its keys are revoked), export, order again."


class RecordsUnreadable(ResetError):
    code = "PL-RST-020"
    engineer = "What the station holds cannot be read to its end: {why}."
    action = "Nothing that cannot be compared is wiped. Take the card out and secure what it holds."


class MarkUnreadable(ResetError):
    code = "PL-RST-021"
    engineer = "The mark that a reset was ordered cannot be read: {why}."
    action = "Restart the station: it takes the order again from what the site approved."
