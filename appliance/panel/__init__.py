"""The panel: button, lights, buzzer, scanner and the operator's session. Whatever a person does, it starts here."""
