"""Factory reset: the site's order, obeyed only when nothing can be lost by it."""
