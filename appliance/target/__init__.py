"""What the line uses to touch silicon: one probe, one board, one connection.

    with open_target("virtual:0", profile_for("stm32f412xg"), swclk_hz=4_000_000) as target:
        device = target.identify()
        report = target.program(image, progress=print)
        measurement = target.measure(image.ranges())
        target.release(run=True)

- `image`, `boards` and `errors` are pure and import nothing outside the standard library: the release desk and the
  verifier may use them. `session` and what it opens need the `station` extra (pyOCD).
- A locked device is a fact to report, never something to erase; nothing here unlocks, mass-erases or writes an option
  byte.
- From the first erase or program command on, whatever goes wrong is `FlashUncertain`: nobody may say "untouched".
"""
