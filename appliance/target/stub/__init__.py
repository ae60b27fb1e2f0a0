"""The measuring stub: its sources, and the blob built from them, as package data."""
