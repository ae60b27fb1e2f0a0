"""Cards: what is on one, and how one is written. For the machine of whoever looks after stations, not for stations."""
