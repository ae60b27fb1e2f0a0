"""The recorder: the evidence log's only writer, the reservations, the unit registry and the refusal journal.

What is true stands in `segments` (the journal in the state directory); everything else is made from it: the registry
(`registry`, a view), the published log (`view`, `published`), the summaries (`summaries`, to start fast).
`entrylog` puts entries in, many at a time, and has them covered by signed checkpoints; `rules` decides, purely, what
may go in; `refusals` keeps what happened while nothing could be signed; `service` is the door.
"""
