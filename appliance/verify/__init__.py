"""Checking evidence anywhere: no network, no station, no keys but those that the site's pinned root leads to."""
