"""SWD over the station's own GPIO: a probe that cannot be lost, broken or reflashed, because there is none.

- `core/` (C, built as `_core`): whole operations on a set of pins, Python's lock released; each port for itself.
- `pins`, `settings`: which pins, on which back end, strictly parsed; `port`: the operations with named refusals.
- `probe` (`plugin`, `pyocd_probe`): the same as the pyOCD probe `gpioswd:<name>`.
- `capture`, `vcd`, `decode`: any operation as a logic analyser would have seen it.

Importing this package imports nothing; the extension is only loaded by `pins`.
"""
