"""The image store as the settings bound it; the API process and the agent both have one over the same directory."""

from pumice.images.store import ImageStore
from pumice.settings import Settings

_MIB, _GIB = 1 << 20, 1 << 30


def make_image_store(settings: Settings) -> ImageStore:
    """Where the bytes of images are."""
    return ImageStore(
        settings.images,
        settings.image_size_cap,
        virtual_size_limit=settings.image_virtual_size_cap,
        converted_bytes=settings.image_conversions_gib * _GIB,
        reserve=settings.image_reserve_mib * _MIB,
    )
