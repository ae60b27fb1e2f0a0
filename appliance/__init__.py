"""Proofline: the appliance that programs boards on a factory line and proves, per serial, what happened."""

__version__ = "0.1.0"
