"""The figures (`make bench`): what Proofline costs, beside what others take for the same on the same machine, now.

- One JSON object a line on standard output: figure, value, unit, reference, ratio, and whatever explains it.
- A reference is measured in the same run, alternating with ours where both take long.
- Nothing here is asserted by tests: these are measurements, and machines are noisy.
"""
