"""Metering: events, the usage audit, what is read back."""
