"""`python -m appliance.custody`: the signer service."""

from appliance.custody.service import main

main()
