"""The USB gate: nothing on a cable is spoken to before this room has decided so, interface by interface."""
