"""Why nothing is signed. `PL-HSM` speaks of the token and its keys, `PL-SGN` of what was asked for."""

from __future__ import annotations

from appliance.errors import ProoflineError


class TokenError(ProoflineError):
    """The token or a key on it is not what the station's key policy asks for."""

    operator = "The station's key token is not usable. Nothing can be signed now: call the line engineer."


class TokenConfigWrong(TokenError):
    code = "PL-HSM-001"
    engineer = "The signer's configuration, {field}: {why}"
    action = "Correct the file that PROOFLINE_TOKEN_CONFIG names."


class ModuleUnusable(TokenError):
    code = "PL-HSM-002"
    engineer = "The PKCS#11 module {module} does not work: {why}"
    action = "Check that the module is installed and may be read by the signer."


class TokenAbsent(TokenError):
    code = "PL-HSM-003"
    operator = "The station's key token is missing. Plug it in; nothing can be signed without it."
    engineer = "No token {wanted} is present; there is {found}."
    action = "Plug the station's own token in. The signer finds it by itself."


class TokenAmbiguous(TokenError):
    code = "PL-HSM-004"
    engineer = "{count} tokens answer to {wanted}."
    action = "Name the token by its serial in the signer's configuration."


class PinUnreadable(TokenError):
    code = "PL-HSM-005"
    engineer = "The token's PIN cannot be read: {why}"
    action = "Check the signer's credential file: one line, readable by the signer only."


class PinRefused(TokenError):
    code = "PL-HSM-006"
    engineer = "The token refused the PIN: {why}. It is not tried again by itself, so that the token is not locked."
    action = "Correct the credential, then restart the signer."


class KeyMissing(TokenError):
    code = "PL-HSM-007"
    engineer = "The token has no {kind} key for {purpose} ({wanted})."
    action = "Enrol the station again, or put the right token in."


class KeyAmbiguous(TokenError):
    code = "PL-HSM-008"
    engineer = "The token has {count} {kind} keys for {purpose} ({wanted})."
    action = "Remove the keys that do not belong there, or name the right one by its id."


class KeyAttributeWrong(TokenError):
    code = "PL-HSM-009"
    operator = "A key of the station is not protected as it must be. Call the line engineer."
    engineer = "The {purpose} key's {attribute} is {found}; the policy asks for {expected}."
    action = "Do not use this key: make a new one on the token and have it approved."


class KeyKindWrong(TokenError):
    code = "PL-HSM-010"
    engineer = "The {purpose} key is {found}; the policy allows {expected}."
    action = "Make a new key of an allowed kind on the token and have it approved."


class KeyShared(TokenError):
    code = "PL-HSM-011"
    operator = "A key of the station serves two purposes. Call the line engineer."
    engineer = "The keys for {first} and {second} are one key."
    action = "One key a purpose: make another one on the token and have it approved."


class PublicKeyWrong(TokenError):
    code = "PL-HSM-012"
    engineer = "The public key that the token keeps for {purpose} is not usable: {why}"
    action = "Enrol the station again; if it happens twice, replace the token."


class TokenLost(TokenError):
    code = "PL-HSM-013"
    operator = "The station's key token has gone. Plug it in again and wait for the lights."
    engineer = "The token failed while signing for {purpose}: {why}. The signer ends and is started afresh."
    action = "Plug the token in again. If it is in, replace it."


class SignatureFalse(TokenError):
    code = "PL-HSM-014"
    operator = "The station's key token makes wrong signatures. Stop working and call the line engineer."
    engineer = "A signature that the token made for {purpose} does not verify under its own public key."
    action = "Replace the token. No such signature has left the signer."


class KeyExists(TokenError):
    code = "PL-HSM-015"
    engineer = "The token already has a key for {purpose} ({wanted})."
    action = "Keys are never replaced in place: choose another label, or another token."


class SignerError(ProoflineError):
    """What was asked for is not signed."""

    operator = "The station will not vouch for this unit. Put it aside and call the line engineer."


class SignerStateDamaged(SignerError):
    code = "PL-SGN-001"
    operator = "The station's record of what it signed is damaged. Stop working and call the line engineer."
    engineer = "Record {at} of the signer's journal is not what this program wrote: {why}"
    action = "Keep the file: it is evidence. Restore it from a backup; never start with an empty one."


class StationNotEnrolled(SignerError):
    code = "PL-SGN-010"
    operator = "This station is not enrolled. Call the line engineer."
    engineer = "{station} of site {site} is not in the approved list of stations."
    action = "Have the station's keys approved at the release desk, then import the result."


class StationKeyUnlisted(SignerError):
    code = "PL-SGN-011"
    operator = "This station's key is not approved. Call the line engineer."
    engineer = "The token's {purpose} key {key} is not among the approved keys of {station}."
    action = "Have the key approved at the release desk, or put the right token in."


class StationKeyRevoked(SignerError):
    code = "PL-SGN-012"
    operator = "This station's key was revoked. Stop working and call the line engineer."
    engineer = "The {purpose} key {key} was revoked: {reason}."
    action = "Make a new key on a token and have it approved."


class StationKeyNotValid(SignerError):
    code = "PL-SGN-013"
    operator = "This station's key is not valid today. Call the line engineer."
    engineer = "The {purpose} key {key} is valid from {since} until {until}; it is between {earliest} and {latest}."
    action = "Have a key approved that is valid now."


class ClockUnusable(SignerError):
    code = "PL-SGN-020"
    operator = "The station's clock is not certain. Wait, then call the line engineer."
    engineer = "The clock is {status}."
    action = "Check the time servers and the network."


class ClockTooWide(SignerError):
    code = "PL-SGN-021"
    operator = "The station's clock is not exact enough. Wait, then call the line engineer."
    engineer = "The time is known to {width_us} us; the station's settings allow {limit_us} us."
    action = "Check the time servers; the width shrinks by itself when they are good."


class ClockBehind(SignerError):
    code = "PL-SGN-022"
    operator = "The station's clock runs behind its own records. Stop working and call the line engineer."
    engineer = "It is {latest} at the latest, which is before {floor}: {what}."
    action = "Find out which time is right before anything is signed."


class SiteExpired(SignerError):
    code = "PL-SGN-023"
    operator = "The approved releases on this station are out of date. Import a newer stick."
    engineer = "The site's metadata ({roles}) is {status} at this time; it ends {until}."
    action = "Import a current carrier from the release desk."


class PressUnknown(SignerError):
    code = "PL-SGN-030"
    engineer = "The panel knows no press {press}."
    action = "Treat it as an intrusion unless somebody was testing: the line asked for a unit that nobody started."


class PressFinished(SignerError):
    code = "PL-SGN-031"
    engineer = "Press {press} is finished."
    action = "Treat it as an intrusion unless somebody was testing: a finished press is never signed again."


class PressSignedOtherwise(SignerError):
    code = "PL-SGN-032"
    engineer = "Press {press} was signed already, with other observations."
    action = "Treat it as an intrusion unless somebody was testing: one press has one outcome."


class PressContradicted(SignerError):
    code = "PL-SGN-033"
    engineer = "The panel's record of press {press} contradicts its digest."
    action = "Report it with the panel's journal: two parts of the station disagree."


class OrderForOtherStation(SignerError):
    code = "PL-SGN-040"
    operator = "This work order is for another station."
    engineer = "Order {order} is for {stations}, not for {station}."
    action = "Choose an order of this station."


class OrderNotOpen(SignerError):
    code = "PL-SGN-041"
    operator = "This work order is not open today."
    engineer = "Order {order} is open from {since} until {until}; it is between {earliest} and {latest}."
    action = "Choose an open order, or have this one prolonged."


class OrderFull(SignerError):
    code = "PL-SGN-042"
    operator = "This work order is complete. Choose another one."
    engineer = "Order {order} is for {quantity} units; {passed} have passed and {open} are reserved."
    action = "Have a new order approved if more units are wanted."


class ProductNotAllowed(SignerError):
    code = "PL-SGN-043"
    operator = "This station may not make this product."
    engineer = "{station} may not make {sku}."
    action = "Use another station, or have this one approved for the product."


class EventNotAllowed(SignerError):
    code = "PL-SGN-044"
    operator = "This product does not allow that kind of work."
    engineer = "The profile of {sku} does not allow {event}."
    action = "Choose another kind of work."


class OperatorUnknown(SignerError):
    code = "PL-SGN-045"
    operator = "This badge is not on the list. Sign in with your own badge."
    engineer = "{person} is not in the approved roster."
    action = "Have the person added to the roster."


class OperatorNotValid(SignerError):
    code = "PL-SGN-046"
    operator = "This badge is not valid today. Call the line engineer."
    engineer = "{person} is in the roster from {since} until {until}; it is between {earliest} and {latest}."
    action = "Have the roster renewed."


class OperatorRoleMissing(SignerError):
    code = "PL-SGN-047"
    operator = "This badge may not do that kind of work."
    engineer = "{person} does not have the role {role}, which {event} needs."
    action = "Somebody with the role has to sign in."


class ReservationMissing(SignerError):
    code = "PL-SGN-050"
    engineer = "There is no reservation for press {press}; {verdict} needs one."
    action = "Report it with the line's journal: flash was touched, or said to be, without a reservation."


class ReservationClosed(SignerError):
    code = "PL-SGN-051"
    engineer = "The reservation of press {press} is closed."
    action = "Treat it as an intrusion unless somebody was testing: a closed reservation is not used again."


class ReservationContradicted(SignerError):
    code = "PL-SGN-052"
    engineer = "The reservation of press {press} is for another {field}: {reserved}, not {claimed}."
    action = "Treat it as an intrusion unless somebody was testing: the line claims another unit than it reserved."


class VerdictContradicted(SignerError):
    code = "PL-SGN-060"
    engineer = "The verdict {verdict} contradicts the observations: {why}."
    action = "Report it with the line's journal."


class PartWrong(SignerError):
    code = "PL-SGN-061"
    operator = "This is not the right board for the order."
    engineer = "The device is a {found}; the product {sku} is a {expected}."
    action = "Check the board and the order."


class RangesWrong(SignerError):
    code = "PL-SGN-062"
    engineer = "The measured ranges are not those of the release: {why}."
    action = "Programme the unit again; if it happens twice, put the board aside."


class FlashNotCovered(SignerError):
    code = "PL-SGN-063"
    engineer = "The measurement does not account for all of the flash: {why}."
    action = "Report it with the line's journal: every byte is either measured or proven erased."


class LabelMismatch(SignerError):
    code = "PL-SGN-064"
    operator = "The label does not belong to this board. Stop and call the lead."
    engineer = "The label is {scanned}; this unit's is {expected}."
    action = "Find the board that the label belongs to."


class ObservationsTooMany(SignerError):
    code = "PL-SGN-065"
    engineer = "The observations have {count} {what}; at most {limit} fit a manifest."
    action = "Report it with the line's journal."


class CheckpointShrunk(SignerError):
    code = "PL-SGN-070"
    operator = "The evidence log lost entries. Stop working and call the line engineer."
    engineer = "A tree of {size} entries was to be signed; one of {last} was signed before."
    action = "Keep the recorder's files: they were rolled back. Restore the newest copy."


class CheckpointForked(SignerError):
    code = "PL-SGN-071"
    operator = "The evidence log contradicts itself. Stop working and call the line engineer."
    engineer = "The tree of {size} entries is not a continuation of the tree of {last} that was signed: {why}"
    action = "Keep the recorder's files: the log was altered or rolled back."


class HashMalformed(SignerError):
    code = "PL-SGN-072"
    engineer = "{where} is not a hash in base64."
    action = "Report it with the recorder's journal."


class JournalDiscontinued(SignerError):
    code = "PL-SGN-073"
    operator = "The station's list of refusals has a gap. Stop working and call the line engineer."
    engineer = (
        "Refusals from {first} after {previous} were to be signed; expected was {expected_first} after {expected}."
    )
    action = "Keep the recorder's files: the journal of refusals was altered or rolled back."


class JournalContradicted(SignerError):
    code = "PL-SGN-074"
    operator = "The station's list of refusals contradicts itself. Stop working and call the line engineer."
    engineer = "The records do not lead to the head {head}: {why}"
    action = "Keep the recorder's files: the journal of refusals was altered."


class IdentityNotAllowed(SignerError):
    code = "PL-SGN-080"
    engineer = "No product profile of this version gives units an identity; press {press} gets no certificate."
    action = "Nothing: units are identified by their silicon in this version."
