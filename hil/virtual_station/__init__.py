"""The gateway, emulated: the unmodified image in QEMU, and a person's hands around it."""
