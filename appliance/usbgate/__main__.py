"""`python -m appliance.usbgate`: the USB gate."""

from appliance.usbgate.service import main

main()
