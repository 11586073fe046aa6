"""The image store: the bytes of images as files named by image id, in one directory that API and agent share.

Written under a temporary name and published by rename once the digests are known; read by range. Never parses data.
"""

from pathlib import Path
from uuid import UUID


class ImageStore:
    """Files `<directory>/<image id>`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, image_id: str) -> Path:
        """Where the published bytes of the image are. Raises ValueError when image_id is no UUID."""
        return self.directory / str(UUID(image_id))
