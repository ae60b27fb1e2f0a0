"""What waiting for a station can come to."""


class NotSeen(Exception):
    """What was waited for did not come; the text has the console's last lines."""
