"""Types of fields that several bodies of the Block Storage API share, and truths in queries."""

from typing import Annotated

from msgspec import Meta

from pumice.api.edge.route import Call
from pumice.db.paging import truth

Name = Annotated[str, Meta(max_length=255)]
"""A name or description: at most 255 characters."""

MetadataKey = Annotated[str, Meta(min_length=1, max_length=255)]
MetadataValue = Annotated[str, Meta(max_length=255)]
Metadata = dict[MetadataKey, MetadataValue]
"""User metadata: texts of at most 255 characters."""


def blank_to_none(text: str | None) -> str | None:
    """Names are kept without surrounding blanks; null stays null."""
    return None if text is None else text.strip()


def asked_for(call: Call, name: str, *, otherwise: bool = False) -> bool:
    """A query's parameter that is true or false; `otherwise` when it is left out. Raises InvalidField."""
    return truth(name, call.params[name]) if name in call.params else otherwise
