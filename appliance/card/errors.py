"""Why a card, or what should become one, is refused. Codes `PL-CRD-NNN`."""

from __future__ import annotations

from appliance.errors import ProoflineError


class CardError(ProoflineError):
    """Something is wrong with a card, with its image or with a site's files."""

    operator = "This card cannot be used. Give it back to whoever wrote it."


class CardInputUnreadable(CardError):
    code = "PL-CRD-001"
    engineer = "{path} cannot be read: {why}."
    action = "Name the file, folder or device again, and check who may read it."


class RecordMalformed(CardError):
    code = "PL-CRD-002"
    engineer = "{path} is no build record: {why}."
    action = "Use the build.json that was made together with the image."


class ArtefactMissing(CardError):
    code = "PL-CRD-003"
    engineer = "The build record names {name}, which is not there: {why}."
    action = "Copy the whole output folder of the build, not parts of it."


class ArtefactWrong(CardError):
    code = "PL-CRD-004"
    engineer = "{name} has SHA-256 {found}; the build record says {expected}."
    action = "Do not write it. Copy it again from where it was built, or build it again and compare."


class TableWrong(CardError):
    code = "PL-CRD-005"
    engineer = "The {which} partition table is not good: {why}."
    action = "A new card without a table was not written to its end: write it again. Keep one that was in a station."


class LayoutForeign(CardError):
    code = "PL-CRD-006"
    engineer = "The partitions are not those of a station's card: {why}."
    action = "Check that this is the card, and that image and program are of the same version."


class NoSlotState(CardError):
    code = "PL-CRD-007"
    engineer = "Neither copy of the slot state can be read: {why}."
    action = (
        "A station starts without it and tries both slots. On an image that was just built it is a defect: report it."
    )


class SlotForeign(CardError):
    code = "PL-CRD-008"
    engineer = "No slot holds this build: {why}."
    action = "The card holds another version, or a slot was changed. Compare its version, or write it again."


class SiteFileRefused(CardError):
    code = "PL-CRD-010"
    engineer = "{name} has no place in a site's folder: {why}."
    action = "Leave root.json, station.json and files *.sources in the folder, and nothing else."


class TimeSourcesRefused(CardError):
    code = "PL-CRD-011"
    engineer = "{name}, line {line}: {why}."
    action = "Write one line for each time server: server ADDRESS iburst. Addresses only: a station resolves no names."


class TimeSourcesMissing(CardError):
    code = "PL-CRD-012"
    engineer = "No *.sources file in {path} names a time server."
    action = "Add a file such as factory.sources with a line: server ADDRESS iburst."


class SiteTooLarge(CardError):
    code = "PL-CRD-013"
    engineer = "The site's files make {size} bytes; its partition holds {limit}."
    action = "Make the comments in the *.sources files shorter."


class SitePartitionUnreadable(CardError):
    code = "PL-CRD-014"
    engineer = "The site partition is not one that a card is written with: {why}."
    action = "Write the card again with this site's files."


class OutputRefused(CardError):
    code = "PL-CRD-015"
    engineer = "{path} cannot be written: {why}."
    action = "Name a file in a folder that exists and that you may write to."


class DeviceUnfit(CardError):
    code = "PL-CRD-020"
    engineer = "{path} is nothing that a card image can be written to: {why}."
    action = "Name the card's whole device, as lsblk shows it."


class DeviceIsPartition(CardError):
    code = "PL-CRD-021"
    engineer = "{path} is one partition of {whole}."
    action = "Name the whole device: the image brings its own partitions."


class DeviceInUse(CardError):
    code = "PL-CRD-022"
    engineer = "{path} is in use: {why}."
    action = "Check that it is the card. Unmount it, then try again."


class DeviceReadOnly(CardError):
    code = "PL-CRD-023"
    engineer = "{path} is write-protected."
    action = "Move the card's lock switch, or take another card."


class DeviceTooSmall(CardError):
    code = "PL-CRD-024"
    engineer = "{path} has {size} bytes; the image and a station's state need {needed}."
    action = "Take a larger card."


class NotConfirmed(CardError):
    code = "PL-CRD-025"
    engineer = "{why}. To overwrite it, give --confirm '{phrase}'."
    action = "Make sure that this is the device you mean; what is on it will be gone."


class DeviceDenied(CardError):
    code = "PL-CRD-026"
    engineer = "{path} may not be written by this user."
    action = "Run the command again through sudo."


class WriteFailed(CardError):
    code = "PL-CRD-030"
    engineer = "Writing stopped at byte {at}: {why}. The card has no partition table and will not start."
    action = "Write it again. If it fails at the same place, take another card."


class ReadBackFailed(CardError):
    code = "PL-CRD-031"
    engineer = "Reading stopped at byte {at}: {why}. Do not rely on this card."
    action = "Write it again. If it fails at the same place, take another card."


class ReadBackDiffers(CardError):
    code = "PL-CRD-032"
    engineer = "What is read back between bytes {at} and {end} is not what was written. The card has no complete table."
    action = "Take another card: this one loses data."


class ImageChanged(CardError):
    code = "PL-CRD-033"
    engineer = (
        "{name} was changed while it was written: SHA-256 {found} at first, {now} afterwards. The card has no table."
    )
    action = "Let nobody build or copy there meanwhile, and write again."
