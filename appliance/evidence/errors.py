"""Why a piece of evidence is not what it claims to be. Codes `PL-EVD-001` to `PL-EVD-099`, by format.

- 001-009 JSON, 010-019 envelope, 020-029 Merkle tree, 030-039 tiles, 040-049 note, 050-059 checkpoint,
  060-069 proof, 070-089 statement, 090-099 log directory.
- `where` names the place in the input (a field path, a line number, a file), `why` says what was found there.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class EvidenceError(ProoflineError):
    """The evidence is malformed or does not hold together."""

    operator = "This evidence is damaged or was altered. Put the unit aside."
    engineer = "{where}: {why}"
    action = "Fetch the evidence again from the station's log; if it is the same there, keep it and report it."


class JsonTooLarge(EvidenceError):
    code = "PL-EVD-001"
    engineer = "JSON document of {size} bytes; at most {limit} are read"


class JsonEncodingWrong(EvidenceError):
    code = "PL-EVD-002"
    engineer = "JSON document is not plain UTF-8: {why}"


class JsonMalformed(EvidenceError):
    code = "PL-EVD-003"
    engineer = "JSON document does not parse: {why}"


class JsonDuplicateKey(EvidenceError):
    code = "PL-EVD-004"
    engineer = "JSON object has the key {key} twice; two readers could see two documents"


class JsonNumberRefused(EvidenceError):
    code = "PL-EVD-005"
    engineer = "JSON number {number} is not an integer of at most 64 bits"


class JsonTooDeep(EvidenceError):
    code = "PL-EVD-006"
    engineer = "JSON document is nested deeper than {limit} levels"


class JsonSurrogate(EvidenceError):
    code = "PL-EVD-007"
    engineer = "JSON string holds an unpaired surrogate, which is not text"


class JsonNotEncodable(EvidenceError):
    code = "PL-EVD-008"
    operator = "The station could not write its evidence. Call the line engineer."
    engineer = "{where} is a {kind}: canonical JSON holds objects, lists, text, integers, true, false and null"


class JsonNotCanonical(EvidenceError):
    code = "PL-EVD-009"
    engineer = "JSON document is not in its canonical form (sorted keys, no spaces, nothing escaped in vain)"


class EnvelopeTooLarge(EvidenceError):
    code = "PL-EVD-010"
    engineer = "envelope of {size} bytes; a log entry holds at most {limit}"


class EnvelopeMalformed(EvidenceError):
    code = "PL-EVD-011"
    engineer = "envelope: {why}"


class EnvelopeBase64Wrong(EvidenceError):
    code = "PL-EVD-012"
    engineer = "envelope field {where} is not strict standard base64"


class PayloadTypeWrong(EvidenceError):
    code = "PL-EVD-013"
    engineer = "envelope's payload type is {found}; {expected} was asked for"


class EnvelopeUnsigned(EvidenceError):
    code = "PL-EVD-014"
    engineer = "envelope of type {found} carries no signature"


class EnvelopeSignaturesTooMany(EvidenceError):
    code = "PL-EVD-015"
    engineer = "envelope carries {count} signatures; at most {limit} are read"


class IndexOutsideTree(EvidenceError):
    code = "PL-EVD-020"
    engineer = "entry {index} is not in a tree of {size} entries"


class ProofLengthWrong(EvidenceError):
    code = "PL-EVD-021"
    engineer = "proof has {found} hashes where {expected} belong"


class InclusionProofFalse(EvidenceError):
    code = "PL-EVD-022"
    engineer = "inclusion proof of entry {index} in a tree of {size} leads to another root"


class ConsistencyProofFalse(EvidenceError):
    code = "PL-EVD-023"
    engineer = "tree of {new_size} entries does not continue the tree of {old_size}: the {which} root differs"


class TreeShrinks(EvidenceError):
    code = "PL-EVD-024"
    engineer = "no consistency from {old_size} entries to {new_size}: a log only grows"


class HashLengthWrong(EvidenceError):
    code = "PL-EVD-025"
    engineer = "{where} has {found} bytes; a SHA-256 hash has 32"


class TilePathMalformed(EvidenceError):
    code = "PL-EVD-030"
    engineer = "{path} is not the path of a tile: {why}"


class TileMalformed(EvidenceError):
    code = "PL-EVD-031"
    engineer = "tile {where} has {found} bytes; {expected} belong there"


class EntryBundleMalformed(EvidenceError):
    code = "PL-EVD-032"
    engineer = "entry bundle: {why}"


class EntryTooLarge(EvidenceError):
    code = "PL-EVD-033"
    engineer = "log entry of {size} bytes; an entry bundle holds at most {limit}"


class NoteTooLarge(EvidenceError):
    code = "PL-EVD-040"
    engineer = "signed note of {size} bytes; at most {limit} are read"


class NoteMalformed(EvidenceError):
    code = "PL-EVD-041"
    engineer = "signed note: {why}"


class NoteSignatureLineMalformed(EvidenceError):
    code = "PL-EVD-042"
    engineer = "signed note, signature line {line}: {why}"


class NoteSignaturesTooMany(EvidenceError):
    code = "PL-EVD-043"
    engineer = "signed note carries more than {limit} signatures"


class VerifierKeyMalformed(EvidenceError):
    code = "PL-EVD-044"
    engineer = "verifier key: {why}"


class NoteUnsignedByKnownKey(EvidenceError):
    code = "PL-EVD-045"
    engineer = "signed note carries no signature of {name}"


class NoteSignatureFalse(EvidenceError):
    code = "PL-EVD-046"
    engineer = "signature of {name} (key id {key_id}) on the note is false"


class CheckpointMalformed(EvidenceError):
    code = "PL-EVD-050"
    engineer = "checkpoint: {why}"


class CheckpointOriginWrong(EvidenceError):
    code = "PL-EVD-051"
    engineer = "checkpoint speaks for the log {found}; {expected} was asked for"


class CheckpointSizeMalformed(EvidenceError):
    code = "PL-EVD-052"
    engineer = "checkpoint's tree size {found} is not a plain decimal below 2^63"


class CheckpointRootMalformed(EvidenceError):
    code = "PL-EVD-053"
    engineer = "checkpoint's root hash {found} is not the base64 of 32 bytes"


class CheckpointExtensionMalformed(EvidenceError):
    code = "PL-EVD-054"
    engineer = "checkpoint's extension lines: {why}"


class ProofTooLarge(EvidenceError):
    code = "PL-EVD-060"
    engineer = "proof of {size} bytes; at most {limit} are read"


class ProofMalformed(EvidenceError):
    code = "PL-EVD-061"
    engineer = "proof: {why}"


class ProofExtraMalformed(EvidenceError):
    code = "PL-EVD-062"
    engineer = "proof's extra line: {why}"


class ProofIndexMalformed(EvidenceError):
    code = "PL-EVD-063"
    engineer = "proof's index line {found} is not 'index' and a plain decimal below 2^63"


class ProofHashMalformed(EvidenceError):
    code = "PL-EVD-064"
    engineer = "proof's hash line {line} is not the base64 of 32 bytes"


class StatementTypeWrong(EvidenceError):
    code = "PL-EVD-070"
    engineer = "this is not an in-toto Statement v1: its _type is {found}"


class PredicateTypeWrong(EvidenceError):
    code = "PL-EVD-071"
    engineer = "statement's predicate type is {found}; {expected} was asked for"


class FieldMissing(EvidenceError):
    code = "PL-EVD-072"
    engineer = "{where} is missing"


class FieldUnknown(EvidenceError):
    code = "PL-EVD-073"
    engineer = "{where} is not a field of this document"


class FieldTypeWrong(EvidenceError):
    code = "PL-EVD-074"
    engineer = "{where} is a {found}; {expected} belongs there"


class FieldOutOfRange(EvidenceError):
    code = "PL-EVD-075"
    engineer = "{where}: {found} is not within {low} to {high}"


class FieldFormWrong(EvidenceError):
    code = "PL-EVD-076"
    engineer = "{where}: {found} is not {expected}"


class SubjectWrong(EvidenceError):
    code = "PL-EVD-077"
    engineer = "subject {at} does not name what the predicate describes: {why}"


class VerdictContradicted(EvidenceError):
    code = "PL-EVD-078"
    engineer = "the verdict is {verdict}, but {why}"


class ClockIntervalReversed(EvidenceError):
    code = "PL-EVD-079"
    engineer = "the clock interval ends ({latest}) before it begins ({earliest})"


class SequenceContradicted(EvidenceError):
    code = "PL-EVD-080"
    engineer = "event {sequence} of the device, but {why}"


class LabelContradicted(EvidenceError):
    code = "PL-EVD-081"
    engineer = "label: {why}"


class StationContradicted(EvidenceError):
    code = "PL-EVD-082"
    engineer = "a station of kind {kind} {why}"


class RefusalChainBroken(EvidenceError):
    code = "PL-EVD-083"
    engineer = "refusal journal, record {n}: {why}"


class RangesOutOfOrder(EvidenceError):
    code = "PL-EVD-084"
    engineer = "{where}: ranges overlap or are not in address order"


class ApprovalsNotDistinct(EvidenceError):
    code = "PL-EVD-085"
    engineer = "one {what} appears in two approvals of the release"


class OrderContradicted(EvidenceError):
    code = "PL-EVD-086"
    engineer = "order and release: {why}"


class LogFileMissing(EvidenceError):
    code = "PL-EVD-090"
    engineer = "log has no {path}, which a tree of {size} entries needs"


class LogTileFalse(EvidenceError):
    code = "PL-EVD-091"
    engineer = "log's {path} does not hold the hashes of its entries (first at position {position})"


class LogRootFalse(EvidenceError):
    code = "PL-EVD-092"
    engineer = "the {size} entries of the log do not have the root that its checkpoint signs"


class LogFileTooLarge(EvidenceError):
    code = "PL-EVD-093"
    engineer = "log's {path} is larger than {limit} bytes"
