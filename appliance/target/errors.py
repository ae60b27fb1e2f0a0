"""Why the station would not, or could not, touch a board.

- `ImageError`: the firmware file is not what it claims to be. Nothing was connected.
- `DeviceRefused`: the device answered and must not be programmed. Its flash was not touched.
- `LinkError`: probe or board stopped answering before the flash was touched.
- `FlashUncertain`: an effect on the flash was begun and its outcome is not known. Never retried blind.
- `MeasurementError`: no measurement came about; what is in the flash is unknown, not wrong.
"""

from __future__ import annotations

from appliance.errors import ProoflineError


class TargetError(ProoflineError):
    """Any refusal of this room."""


class ImageError(TargetError):
    """The firmware file is refused."""

    operator = "This release cannot be used. Call the line engineer."
    action = "Have the release desk build and promote the firmware again; do not edit the file."


class ImageTooLarge(ImageError):
    code = "PL-TGT-001"
    engineer = "The firmware file has {length} bytes; at most {limit} are read."


class ImageEmpty(ImageError):
    code = "PL-TGT-002"
    engineer = "The firmware file ({format}) puts nothing into flash."


class ImageTruncated(ImageError):
    code = "PL-TGT-003"
    engineer = "The {format} file ends inside {where}."


class ImageNotElf(ImageError):
    code = "PL-TGT-004"
    engineer = "The file is not a 32-bit little-endian ARM executable in ELF: {reason}."


class ImageBadHeader(ImageError):
    code = "PL-TGT-005"
    engineer = "The ELF program headers cannot be trusted: {reason}."


class ImageOutsideFlash(ImageError):
    code = "PL-TGT-006"
    engineer = "Bytes {start} to {end} do not lie in the flash of {part} ({flash_start} to {flash_end})."


class ImageOverlap(ImageError):
    code = "PL-TGT-007"
    engineer = "The file says twice what is at {address}."


class HexBadCharacter(ImageError):
    code = "PL-TGT-008"
    engineer = "Line {line} of the HEX file is not a record: {reason}."


class HexBadLength(ImageError):
    code = "PL-TGT-009"
    engineer = "Line {line} of the HEX file carries {actual} bytes, its length field and type ask for {expected}."


class HexBadChecksum(ImageError):
    code = "PL-TGT-010"
    engineer = "Line {line} of the HEX file has a wrong checksum."


class HexUnknownRecord(ImageError):
    code = "PL-TGT-011"
    engineer = "Line {line} of the HEX file has the unknown record type {type}."


class HexAfterEnd(ImageError):
    code = "PL-TGT-012"
    engineer = "Line {line} of the HEX file follows its end-of-file record."


class HexWrap(ImageError):
    code = "PL-TGT-013"
    engineer = "Line {line} of the HEX file runs over the end of its 64 KiB bank."


class BinAddress(ImageError):
    code = "PL-TGT-014"
    engineer = "A BIN file needs a load address at the start of a flash word; {address} is none."


class ImageNotBootable(ImageError):
    code = "PL-TGT-015"
    engineer = "The device could not boot this image: {reason}."


class ImageUnknownFormat(ImageError):
    code = "PL-TGT-016"
    engineer = "The firmware format {format} is not one of elf, hex, bin."


class ImageFragmented(ImageError):
    code = "PL-TGT-017"
    engineer = "The firmware lies in more than {limit} separate pieces of flash."
    action = "Have the release desk fill the gaps between the pieces when it builds the firmware."


class UnknownPart(TargetError):
    code = "PL-TGT-020"
    operator = "This station does not know this product's chip. Call the line engineer."
    engineer = "No board profile for part {part}."
    action = "Check the product's part name, or add a profile for its family."


class DeviceRefused(TargetError):
    """The device answered and is not one to be programmed."""

    operator = "This board is not accepted. Put it aside."
    action = "Put the board into the reject tray with its code; do not try again."


class ImplausibleUid(DeviceRefused):
    code = "PL-TGT-030"
    engineer = "The unique id {uid} is implausible: {reason}."
    action = "Check contact and supply; if the id stays, the part is faulty or not genuine."


class WrongPart(DeviceRefused):
    code = "PL-TGT-031"
    operator = "This is not the board that the work order asks for. Put it aside."
    engineer = "{register} reads {actual}; {part} has {expected}."
    action = "Check the work order against the board."


class TargetLocked(DeviceRefused):
    code = "PL-TGT-032"
    operator = "This board has already been provisioned and locked. Put it aside."
    engineer = "Read-out protection level {rdp} is on; the flash is closed to a debugger."
    action = "Look up its proof by its label. Unlocking erases it and is never done here."


class WriteProtected(DeviceRefused):
    code = "PL-TGT-033"
    engineer = "Sectors {sectors} are write-protected by option bytes (FLASH_OPTCR {optcr})."
    action = "The part is not as delivered: return it to incoming inspection."


class LinkError(TargetError):
    """Probe or board does not answer; the flash was not touched."""

    operator = "The board does not answer. Check that it sits well in the fixture."
    action = "Seat the board again and press once more; if it stays, check probe, cable and supply."


class ProbeMissing(LinkError):
    code = "PL-TGT-040"
    operator = "The programming probe is missing. Call the line engineer."
    engineer = "No debug probe with the id {probe} is connected: {reason}."


class ProbeLost(LinkError):
    code = "PL-TGT-041"
    operator = "The programming probe stopped answering. Call the line engineer."
    engineer = "The probe was lost during {stage}: {reason}."


class TargetSilent(LinkError):
    code = "PL-TGT-042"
    engineer = (
        "The device does not answer on SWD during {stage}: {reason}. (A part at protection level 2 never answers.)"
    )


class Cancelled(LinkError):
    code = "PL-TGT-043"
    operator = "Stopped on request; the board was not changed."
    engineer = "Cancelled during {stage}, before the flash was touched."
    action = "Press once more to start again."


class DebuggerFault(LinkError):
    code = "PL-TGT-044"
    engineer = "The debugger gave up during {stage}: {reason}."


class FlashUncertain(TargetError):
    """An effect on the flash was begun; what it holds now is not known. `details["cause"]` names what stopped it."""

    code = "PL-TGT-050"
    operator = "Programming was interrupted. Put the board into quarantine."
    engineer = "Stopped during {stage} at {address}, {done} of {total} bytes programmed; cause {cause}: {reason}."
    action = "Quarantine the unit. A lead may start a rework, which erases and programs all of it."


class FlashRejected(FlashUncertain):
    code = "PL-TGT-051"
    operator = "This board's memory does not take the program. Put the board into quarantine."
    engineer = (
        "The flash reported an error during {stage} at {address} (result {result}), {done} of {total} bytes programmed."
    )
    action = "Quarantine the unit: worn or faulty flash, or a supply that sags."


class MeasurementError(TargetError):
    """No measurement came about."""

    operator = "The board could not be measured. Put the board into quarantine."
    action = "Quarantine the unit; look at probe, supply and clock before a rework."


class StubDidNotRun(MeasurementError):
    code = "PL-TGT-060"
    engineer = "The measuring stub did not finish: {reason}."


class StubSealBroken(MeasurementError):
    code = "PL-TGT-061"
    engineer = "The measuring stub's answer is not sealed for this run: {reason}."


class MeasurementInterrupted(MeasurementError):
    code = "PL-TGT-062"
    engineer = "The link was lost while measuring; cause {cause}: {reason}."


class TooManyRanges(MeasurementError):
    code = "PL-TGT-063"
    engineer = "{count} ranges to measure; at most {limit} fit into one run."


class RangeOutsideFlash(MeasurementError):
    code = "PL-TGT-064"
    engineer = "The range {name} ({start}, {length} bytes) is not a range of its own inside the flash of {part}."
