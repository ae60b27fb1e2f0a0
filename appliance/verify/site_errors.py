"""Why a site's repository, or a document in it, is not believed. Codes `PL-SIT-001` to `PL-SIT-099`.

- 001-009 files and metadata syntax, 010-019 the root and thresholds, 020-029 the chain of metadata and its targets,
  030-039 approvals, 040-049 a document's shape, 050-069 a document's values, 070-079 references between documents,
  080-089 the staged generation.
- `path` is the file inside the repository, `field` the place in it, `why` what was found there.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class SiteError(ProoflineError):
    """The repository cannot be believed, in whole."""

    operator = "This release medium is damaged, altered or made for another site. Do not use it."
    engineer = "{path}: {why}"
    action = "Export the repository again at the release desk; if it is refused again, compare it with the desk's own."


class FileMissing(SiteError):
    code = "PL-SIT-001"
    engineer = "{path} is not there"


class FileTooLarge(SiteError):
    code = "PL-SIT-002"
    engineer = "{path} is larger than {limit} bytes"


class FileUnreadable(SiteError):
    code = "PL-SIT-003"
    engineer = "{path} is not a regular file that can be read: {why}"


class MetadataMalformed(SiteError):
    code = "PL-SIT-004"
    engineer = "{path} is not TUF metadata: {why}"


class MetadataDuplicateKey(SiteError):
    code = "PL-SIT-005"
    engineer = "{path} has one JSON key twice: {why}"


class MetadataRoleWrong(SiteError):
    code = "PL-SIT-006"
    engineer = "{path} is metadata of the role {found}; {expected} belongs there"


class SiteForeign(SiteError):
    code = "PL-SIT-010"
    engineer = "{path} is not the root that is pinned here: this is another site's repository"
    action = "Use the medium of this station's own site; a station changes its site only by enrolment."


class RootVersionWrong(SiteError):
    code = "PL-SIT-011"
    engineer = "{path} says version {found}; the chain of roots needs {expected}"


class RootPersonMissing(SiteError):
    code = "PL-SIT-012"
    engineer = "{path}: key {key} of the role {role} names no person"


class RootKeyTwice(SiteError):
    code = "PL-SIT-013"
    engineer = "{path}: one public key stands under two key ids, {key} and {other}"


class RootKeyRefused(SiteError):
    code = "PL-SIT-014"
    engineer = "{path}: key {key} is refused: {why}"


class RootThresholdTooLow(SiteError):
    code = "PL-SIT-015"
    engineer = "{path}: role {role} asks for {found} signatures; at least two persons must agree"


class RootRuleBroken(SiteError):
    code = "PL-SIT-016"


class SignaturesTooFew(SiteError):
    code = "PL-SIT-017"
    engineer = "{path}: {found} of {expected} persons of the role {role} signed it (root version {root})"


class SignaturesOfOnePerson(SiteError):
    code = "PL-SIT-018"
    engineer = "{path}: keys enough signed as {role}, but two of them belong to {person}: {found} of {expected} persons"


class SignatureOfWrongRole(SiteError):
    code = "PL-SIT-019"
    engineer = "{path}: signed by key {key}, which has no say in the role {role}: {found} of {expected} persons"


class VersionWrong(SiteError):
    code = "PL-SIT-020"
    engineer = "{path} says version {found}; {expected} is signed for"


class DigestWrong(SiteError):
    code = "PL-SIT-021"
    engineer = "{path} has another SHA-256 than the one that is signed"


class LengthWrong(SiteError):
    code = "PL-SIT-022"
    engineer = "{path} has {found} bytes; {expected} are signed for"


class MetadataUnbound(SiteError):
    code = "PL-SIT-023"
    engineer = "{path} does not give exactly the length and SHA-256 of {name}"


class SnapshotForeign(SiteError):
    code = "PL-SIT-024"
    engineer = "{path} lists {found}; a site's snapshot lists targets.json and nothing else"


class DelegationRefused(SiteError):
    code = "PL-SIT-025"
    engineer = "{path} delegates to other roles; a site's targets are approved by its approvers alone"


class TargetPathRefused(SiteError):
    code = "PL-SIT-026"
    engineer = "{path} is not the path of any kind of target known here"
    action = "If a newer release desk made it, update the station's image first."


class TargetEntryRefused(SiteError):
    code = "PL-SIT-027"


class TargetsTooMany(SiteError):
    code = "PL-SIT-028"
    engineer = "{path} lists {found} targets; at most {limit} are read"


class TargetUnknown(SiteError):
    code = "PL-SIT-029"
    operator = "The release desk has not released this. Call the line engineer."
    engineer = "{path} is not among the approved targets"
    action = "Have it approved and promoted at the release desk, then import the new medium."


class ApprovalMissing(SiteError):
    code = "PL-SIT-030"
    engineer = "{path}: {person} signed the targets but no approval says so, or it cannot be read: {why}"


class ApprovalMalformed(SiteError):
    code = "PL-SIT-031"


class ApprovalSignatureFalse(SiteError):
    code = "PL-SIT-032"
    engineer = "{path} is not signed by the key with which {person} signed the targets"


class ApprovalDigestWrong(SiteError):
    code = "PL-SIT-033"
    engineer = "{path} approves {found}, not these targets ({expected})"


class ApprovalVersionWrong(SiteError):
    code = "PL-SIT-034"
    engineer = "{path} approves version {found}, not {expected}"


class ApprovalPersonWrong(SiteError):
    code = "PL-SIT-035"
    engineer = "{path} speaks for {found}; the key that signed belongs to {expected}"


class ApprovalRoleWrong(SiteError):
    code = "PL-SIT-036"
    engineer = "{path} approves the role {found}, not targets"


class ApprovalTicketMissing(SiteError):
    code = "PL-SIT-037"
    engineer = "{path} names no change ticket"


class DocumentNotJson(SiteError):
    code = "PL-SIT-040"


class DocumentDuplicateKey(SiteError):
    code = "PL-SIT-041"


class DocumentSchemaUnknown(SiteError):
    code = "PL-SIT-042"
    engineer = "{path} has schema {found}; schema 1 is read here"
    action = "If a newer release desk made it, update the station's image first."


class DocumentNameWrong(SiteError):
    code = "PL-SIT-043"
    engineer = "{path} says {field} is {found}: it is filed under another name"


class FieldMissing(SiteError):
    code = "PL-SIT-044"
    engineer = "{path} has no {field}"


class FieldUnknown(SiteError):
    code = "PL-SIT-045"
    engineer = "{path} has a field that nothing reads: {field}"


class FieldTypeWrong(SiteError):
    code = "PL-SIT-046"
    engineer = "{path}: {field} is {found}, not {expected}"


class FieldTimeMalformed(SiteError):
    code = "PL-SIT-047"
    engineer = "{path}: {field} is {found}, not a time like 2026-11-22T12:00:00.000000Z"


class FieldLengthWrong(SiteError):
    code = "PL-SIT-048"
    engineer = "{path}: {field} has {found} items; {low} to {high} are allowed"


class WindowEmpty(SiteError):
    code = "PL-SIT-049"
    engineer = "{path}: {field} ends at {until}, before it begins"


class ProfileRefused(SiteError):
    code = "PL-SIT-050"
    engineer = "{path}: {field} is {found}; {expected}"


class ReleaseRefused(SiteError):
    code = "PL-SIT-051"
    engineer = "{path}: {field} is {found}; {expected}"


class ReleaseRangesWrong(SiteError):
    code = "PL-SIT-052"


class OrderRefused(SiteError):
    code = "PL-SIT-053"
    engineer = "{path}: {field} is {found}; {expected}"


class RosterRefused(SiteError):
    code = "PL-SIT-054"
    engineer = "{path}: {field} is {found}; {expected}"


class RosterTwice(SiteError):
    code = "PL-SIT-055"
    engineer = "{path}: {field} {found} stands there twice"


class StationsRefused(SiteError):
    code = "PL-SIT-056"
    engineer = "{path}: {field} is {found}; {expected}"


class StationTwice(SiteError):
    code = "PL-SIT-057"
    engineer = "{path}: {field} {found} stands there twice"


class StationKeyRefused(SiteError):
    code = "PL-SIT-058"
    engineer = "{path}: {field} is not the public key it claims to be: {why}"


class StationKeyTwice(SiteError):
    code = "PL-SIT-059"
    engineer = "{path}: {field} is a public key that already serves elsewhere: one key, one purpose, one station"


class SettingsRefused(SiteError):
    code = "PL-SIT-060"
    engineer = "{path}: {field} is {found}; {expected}"


class ResetRefused(SiteError):
    code = "PL-SIT-061"
    engineer = "{path}: {field} is {found}; {expected}"


class ReferenceBroken(SiteError):
    code = "PL-SIT-070"
    engineer = "{path}: {field} names {found}, which is not among the approved targets"


class ReferenceDisagrees(SiteError):
    code = "PL-SIT-071"
    engineer = "{path}: {field} says {found}; {wanted} says {expected}"


class ProductNotForStation(SiteError):
    code = "PL-SIT-072"
    engineer = "{path}: {field} names station {found}, which may not make {sku}"


class ResetKeyValid(SiteError):
    code = "PL-SIT-073"
    engineer = "{path} orders the reset of {station}, whose key {key} is not revoked"
    action = "Revoke every key of the station in the same proposal: `proofline release reset` does both."


class NothingStaged(SiteError):
    code = "PL-SIT-080"
    operator = "Nothing is released on this station yet. Import a release medium."
    engineer = "nothing is staged in {path}"
    action = "Import the site's carrier (intake)."


class StagedWentBack(SiteError):
    code = "PL-SIT-081"
    operator = "The station's release store went back in time. Call the line engineer."
    engineer = "staged generation {path}: {role} version {found} is older than {expected}, seen before"
    action = "Import the newest carrier; find out who changed the staging directory."


class StagedUnreadable(SiteError):
    code = "PL-SIT-082"
    operator = "The station's release store cannot be read. Call the line engineer."
    engineer = "staging directory {path}: {why}"
    action = "Import the site's carrier again; if that fails, check the state partition."
