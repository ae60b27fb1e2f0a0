"""`python -m appliance.intake`: the intake service."""

from appliance.intake.service import main

main()
