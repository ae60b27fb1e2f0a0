"""The whole station with a TPM: its state sealed at the first boot, unsealed at the second, not without the chip."""

from __future__ import annotations

from hil.virtual_station.station import VirtualStation


def test_a_station_with_a_tpm_seals_its_state_and_starts_only_with_that_tpm() -> None:
    with VirtualStation("state-whole", tpm="chip") as station:
        station.power_on()
        station.wait_console(r"proofline: state: encrypted, its key sealed to this machine's TPM")
        assert station.wait_ready().startswith("proofline: not ready: not_enrolled")
        station.power_cut()
        station.power_on()
        assert station.wait_ready().startswith("proofline: not ready: not_enrolled")
        station.power_cut()
        start, _size = station.card.place("proofline-state")
        with station.disk.open("rb") as card:
            card.seek(start)
            assert card.read(6) == b"LUKS\xba\xbe"
        station.tpm = station.folder / "another"
        station.power_on()
        station.wait_console(r"proofline: not ready: state: it is sealed to another TPM, or this one was cleared")
