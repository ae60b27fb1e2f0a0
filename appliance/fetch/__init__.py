"""A site's carrier by network: the only room that speaks HTTP, and it does nothing else."""
