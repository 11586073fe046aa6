"""What a storage driver is constructed from. Values come from the settings; drivers never read settings themselves."""

import msgspec

from pumice.storage.contract import GIB


class PoolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One pool of any driver; a driver ignores what it has no use for."""

    name: str
    """Name of the backend in messages and statistics."""
    path: str = ""
    """file: absolute path of the pool's directory."""
    record_path: str = ""
    """file: absolute path of the small file that remembers, outside the pool, which pool belongs there. Once it
    exists, a pool without its marker is down and never taken for a new one. Must not lie in the pool."""
    loop_image: str | None = None
    """file: where the directory cannot reflink and this process may mount, a sparse XFS image of `size_bytes` is
    made here and mounted at `path`. None: never."""
    size_bytes: int = 64 * GIB
    """file: size of a new loop image. memory: size of the pool."""
    reserved_bytes: int = 0
    """Space that is never offered to volumes."""
    cached_images: int = 16
    """Most image copies kept for instant clones; 0 keeps none."""
    cached_image_bytes: int = 64 * GIB
    """Most bytes those copies may take."""
