"""The evidence: what is signed, how it is logged, and how a log is recounted.

Everything here is pure: bytes in, values or a named refusal out. Nothing opens a file, a socket or a key; the
two places that need the outside world take it as an argument (`log.Storage`, `note.Verifier`). Bad input
raises `errors.EvidenceError` and nothing else, whatever its size.
"""
