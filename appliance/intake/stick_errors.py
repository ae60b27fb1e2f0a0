"""Why a stick is not read. Codes `PL-STK-001` to `PL-STK-039`.

- 001-009 the stick as a device, 010-019 its partition table, 020-029 its file system, 030-039 what lies on it.
"""

from __future__ import annotations

from appliance.intake.errors import IntakeError


class StickError(IntakeError):
    """The stick is not read; nothing has changed."""

    operator = "This stick cannot be read. Use another one, or format it with FAT and write it again."
    engineer = "{why}"
    action = "Format the stick with FAT32 on a trusted machine, and export the repository onto it again."


class StickFailed(StickError):
    code = "PL-STK-001"
    engineer = "reading {length} bytes at {offset}: {why}"
    action = "Plug the stick in again; if it fails again, use another one."


class StickPulled(StickError):
    code = "PL-STK-002"
    operator = "The stick was pulled out while it was being read. Plug it in again."
    engineer = "the stick is gone: {why}"
    action = "Plug it in again and wait until the station says what it found."


class TableWrong(StickError):
    code = "PL-STK-010"
    engineer = "the partition table cannot be: {why}"


class NoVolume(StickError):
    code = "PL-STK-011"
    engineer = "no FAT file system: {why}"


class VolumeWrong(StickError):
    code = "PL-STK-020"
    engineer = "the FAT file system's first sector cannot be: {why}"


class ChainWrong(StickError):
    code = "PL-STK-021"
    engineer = "the clusters of {path}: {why}"


class DirectoryWrong(StickError):
    code = "PL-STK-022"
    engineer = "the directory {path}: {why}"


class NothingOnStick(StickError):
    code = "PL-STK-030"
    operator = "There is nothing for this station on the stick."
    engineer = "neither a folder proofline nor metadata, approvals and targets are at the top of the stick"
    action = "Export the repository into the stick's folder proofline: `proofline release export STICK/proofline`."


class NotOnStick(StickError):
    code = "PL-STK-031"
    engineer = "{path} is {why}"
