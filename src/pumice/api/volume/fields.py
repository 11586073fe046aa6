"""Types of fields that several bodies of the Block Storage API share."""

from typing import Annotated

from msgspec import Meta

from pumice.api.edge.route import Call

Name = Annotated[str, Meta(max_length=255)]
"""A name or description: at most 255 characters."""

MetadataKey = Annotated[str, Meta(min_length=1, max_length=255)]
MetadataValue = Annotated[str, Meta(max_length=255)]
Metadata = dict[MetadataKey, MetadataValue]
"""User metadata: texts of at most 255 characters."""


def list_params(call: Call) -> dict[str, str]:
    """A list's parameters. `with_count` came with 3.45; below it, it is ignored as unknown ones are."""
    if call.version >= (3, 45) or "with_count" not in call.params:
        return call.params
    return {name: text for name, text in call.params.items() if name != "with_count"}


def blank_to_none(text: str | None) -> str | None:
    """Names are kept without surrounding blanks; null stays null."""
    return None if text is None else text.strip()
