"""Why the release desk refuses. Codes `PL-REL-001` to `PL-REL-099`.

- 001-009 the desk's folder, 010-019 what goes into a proposal, 020-029 approving, 030-039 promoting and rotating,
  040-049 tokens and keys.
- Documents that break their own rules are refused with the station's own codes (`PL-SIT`): the desk reads them with the
  station's parsers.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class ReleaseError(ProoflineError):
    """The release desk does not do this."""

    operator = "The release desk refused. Ask whoever keeps the desk."
    engineer = "{why}"
    action = "Read the sentence above; nothing has been changed."


class DeskMissing(ReleaseError):
    code = "PL-REL-001"
    engineer = "{path} is not a release desk's folder: {why}"
    action = "Name the folder that `proofline release init` made, or make one."


class DeskExists(ReleaseError):
    code = "PL-REL-002"
    engineer = "{path} already holds a release desk or other files"
    action = "Choose an empty folder."


class DeskDamaged(ReleaseError):
    code = "PL-REL-003"
    engineer = "{path} in the desk's folder cannot be read: {why}"
    action = "Restore the folder from its copy; published generations are immutable and can be copied back."


class DeskUnpublished(ReleaseError):
    code = "PL-REL-004"
    engineer = "nothing is published yet: the root ceremony is not finished"
    action = "Have the first proposal approved by the threshold's persons and promote it."


class NoProposal(ReleaseError):
    code = "PL-REL-005"
    engineer = "there is no open proposal"
    action = "Make one first: add or change something."


class ProposalStale(ReleaseError):
    code = "PL-REL-006"
    engineer = "the proposal builds on version {found} of the targets; version {expected} is in force"
    action = "Drop the proposal and make it again on what is in force."


class NothingProposed(ReleaseError):
    code = "PL-REL-010"
    engineer = "{why}: the proposal would change nothing"


class AlreadyThere(ReleaseError):
    code = "PL-REL-011"
    engineer = "{path} is already approved and is never replaced: {why}"
    action = "Give the new one a new name or version."


class NotThere(ReleaseError):
    code = "PL-REL-012"
    engineer = "{path} is not in the proposal or in force"


class StillNeeded(ReleaseError):
    code = "PL-REL-013"
    engineer = "{path} cannot go while {needed_by} needs it"
    action = "Revoke what needs it in the same proposal (--with-orders)."


class InputUnreadable(ReleaseError):
    code = "PL-REL-014"
    engineer = "{path}: {why}"


class InputMalformed(ReleaseError):
    code = "PL-REL-015"
    engineer = "{field} is {found}; {expected}"


class BundleOther(ReleaseError):
    code = "PL-REL-016"
    engineer = "{path} is not the bundle that the image's document describes: {why}"
    action = "Take document and bundle of the same build."


class BundleNotKept(ReleaseError):
    code = "PL-REL-017"
    engineer = "{path} is listed, and its file is not in the desk's folder"
    action = "Copy it back into bundles/ under the name of its SHA-256, or revoke the image."


class NotTheProposal(ReleaseError):
    code = "PL-REL-020"
    engineer = "the open proposal is {found}, not {expected}: it changed since it was shown"
    action = "Look at the proposal again before you approve it."


class NoApprover(ReleaseError):
    code = "PL-REL-021"
    engineer = "{person} holds no key that has a say in this proposal with this token"
    action = "Use the token that the root names for this person, or have the root changed."


class TicketMissing(ReleaseError):
    code = "PL-REL-022"
    engineer = "an approval names a change ticket of at most 64 characters, not {found}"
    action = "Approve again with --ticket."


class ContributionMalformed(ReleaseError):
    code = "PL-REL-023"
    engineer = "{path} is not an approver's contribution: {why}"


class ContributionFalse(ReleaseError):
    code = "PL-REL-024"
    engineer = "{path}: {person}'s signature on {part} is false"
    action = "Have this person approve again, on the proposal as it is."


class ContributionForeign(ReleaseError):
    code = "PL-REL-025"
    engineer = "{path} was made for the proposal {found}, not {expected}"
    action = "Have this person approve again, on the proposal as it is."


class ApprovalsTooFew(ReleaseError):
    code = "PL-REL-030"
    engineer = "{found} of {expected} persons have approved the {part}; still possible: {missing}"
    action = "Have more approvers approve, each with the own token."


class PossessionUnproven(ReleaseError):
    code = "PL-REL-031"
    engineer = "{person} joins the root but has not signed with the new key"
    action = "Have this person approve the proposal with the new token: that proves who holds it."


class PromotionRefused(ReleaseError):
    code = "PL-REL-032"
    engineer = "a station would refuse the result: {why}"
    action = "Nothing was published. Correct the proposal."


class OnlineKeyWrong(ReleaseError):
    code = "PL-REL-033"
    engineer = "the key {found} is not the root's key for snapshot and timestamp ({expected})"
    action = "Use the release desk's own token."


class LastApprovers(ReleaseError):
    code = "PL-REL-034"
    engineer = "{found} approvers cannot meet a threshold of {threshold}"
    action = "Keep at least as many approvers as the threshold, better one more."


class CarrierTargetInUse(ReleaseError):
    code = "PL-REL-035"
    engineer = "{path} exists; a carrier is written into a folder of its own"


class CeremonyFalse(ReleaseError):
    code = "PL-REL-036"
    engineer = "the record of the root ceremony does not hold: {why}"
    action = "Restore the record from its copy; if there is none, hold a new ceremony (`proofline release root`)."


class LogOfAnother(ReleaseError):
    code = "PL-REL-037"
    engineer = "{path} is the log of {found}, not of {expected}"
    action = "Give the copy of the log that this station wrote."


class UriMalformed(ReleaseError):
    code = "PL-REL-040"
    engineer = "{uri} is no PKCS#11 URI that can be used: {why}"
    action = "Write pkcs11:token=LABEL;object=LABEL?module-path=FILE (RFC 7512)."


class TokenMissing(ReleaseError):
    code = "PL-REL-041"
    engineer = "no token with {wanted} in {module}: {why}"
    action = "Plug the token in; check its label or serial."


class PinRefused(ReleaseError):
    code = "PL-REL-042"
    engineer = "the token refused the PIN ({why})"
    action = "Check the PIN before trying again: tokens lock after a few wrong ones."


class KeyMissing(ReleaseError):
    code = "PL-REL-043"
    engineer = "the token has not exactly one P-256 key pair with {wanted}"


class KeyTooOpen(ReleaseError):
    code = "PL-REL-044"
    engineer = "the private key's {attribute} is {found}: it could leave the token"
    action = "Make a new key inside a token."


class TokenFailed(ReleaseError):
    code = "PL-REL-045"
    engineer = "the token failed: {why}"


class TokenSignatureFalse(ReleaseError):
    code = "PL-REL-046"
    engineer = "the token's signature does not verify with its own public key"
    action = "Do not use this token any more."
