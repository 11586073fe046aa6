"""What a target driver is constructed from. Values come from the settings."""

import msgspec


class TargetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One target of any driver."""

    name: str
    """Name of the backend in messages."""
    host: str
    """local: name of this host as its compute service gives it in connectors."""
    directory: str
    """local: absolute path of a directory of its own for the records of exports."""
