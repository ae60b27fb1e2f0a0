"""The bench: firmware for the board, the virtual board, and the tests that run on either."""
