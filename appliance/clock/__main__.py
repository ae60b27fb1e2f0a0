"""`python -m appliance.clock`: the clock service."""

from appliance.clock.service import main

main()
