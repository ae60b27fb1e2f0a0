"""`python -m appliance.fetch`: fetch the site's carrier once, if the site has one."""

from appliance.fetch.service import main

main()
