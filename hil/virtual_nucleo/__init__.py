"""A virtual NUCLEO-F412ZG that real debuggers flash and debug.

* It is true to RM0402, the STM32F412xE/G data sheet, ADIv5.2 and the ARMv7-M manual, never to our code.
* Flash algorithms, stubs and firmware execute as Thumb code; nothing is answered from what a test expects.
* Time is virtual and deterministic: SWCLK cycles, flash busy times and core cycles add up.

Use :class:`hil.virtual_nucleo.board.Board` in process, ``python -m hil.virtual_nucleo.server`` otherwise.
"""
