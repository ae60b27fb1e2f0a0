"""The verdict on time: an interval that true UTC lies in, or a named reason why nobody knows."""
