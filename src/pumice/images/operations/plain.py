"""The plain bytes of an image, for a step of any operation: `with plain_image(run, image_id) as path`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pumice.images import images
from pumice.images.conversions import ConversionFailed, Source, plain_file
from pumice.operations.model import Run, StepFailed


@contextmanager
def plain_image(run: Run[Any], image_id: str) -> Iterator[Path]:
    """A raw file with the image's bytes, there until the block ends; the operation claims the image. Raises StepFailed,
    and Fenced or Cancelled while it is converted."""
    host, store = run.world.host, run.world.images
    if store is None:
        raise StepFailed(f"host {host} has no image store")
    with run.database.read() as tx:
        image = images.find(tx, image_id)
    if image is None:
        raise StepFailed(f"image {image_id} is gone")
    with ExitStack() as held:
        try:
            source = Source(image_id, image.disk_format, image.virtual_size or 0)
            path = held.enter_context(plain_file(store, source, run.progress))
            path.stat()
        except FileNotFoundError as error:
            raise StepFailed(f"the data of image {image_id} is missing in the image store of host {host}") from error
        except ConversionFailed as error:
            raise StepFailed(f"image {image_id} ({image.disk_format}) cannot be used: {error}") from error
        except OSError as error:
            reason = f"{error.strerror or error}"
            raise StepFailed(f"image {image_id} could not be converted on host {host}: {reason}") from error
        yield path
