"""Updates: whether the slot that runs is good."""
