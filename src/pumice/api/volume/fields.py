"""Types of fields that several bodies of the Block Storage API share."""

from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(max_length=255)]
"""A name or description: at most 255 characters."""

MetadataKey = Annotated[str, Meta(min_length=1, max_length=255)]
MetadataValue = Annotated[str, Meta(max_length=255)]
Metadata = dict[MetadataKey, MetadataValue]
"""User metadata: texts of at most 255 characters."""


def blank_to_none(text: str | None) -> str | None:
    """Names are kept without surrounding blanks; null stays null."""
    return None if text is None else text.strip()
