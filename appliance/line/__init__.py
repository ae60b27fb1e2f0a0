"""The line: one unit's cycle from press to verdict. It holds the debug probe, and nothing else of value."""
