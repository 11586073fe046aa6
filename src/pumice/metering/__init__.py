"""Metering: events written with their change, the usage audit, and samples seen through the events."""
