"""The image store: published whole or not at all, and locked while somebody writes."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.caller import new_id
from pumice.faults import Plan, planned
from pumice.images.formats.reading import UnusableImage
from pumice.images.store import CHUNK_BYTES, ImageStore, ImageTooLarge, NoData, StoreFull
from tests.support.processes import Processes

pytestmark = pytest.mark.fast


def names(store: ImageStore) -> list[str]:
    return sorted(set(os.listdir(store.directory)) - {".lock"})


def test_published_bytes_are_those_written_with_their_digests(store: ImageStore) -> None:
    image_id = new_id()
    parts = [os.urandom(CHUNK_BYTES + 7), bytes(3 * CHUNK_BYTES), b"end", bytes(5)]
    with store.begin(image_id, new_id()) as upload:
        for part in parts:
            upload.write(part)
        assert store.published() == []
        stored = upload.publish()
    whole = b"".join(parts)
    assert store.path(image_id).read_bytes() == whole
    assert (stored.size, stored.md5, stored.sha512) == (
        len(whole),
        hashlib.md5(whole, usedforsecurity=False).hexdigest(),
        hashlib.sha512(whole).hexdigest(),
    )
    assert names(store) == [image_id]


def test_zeros_take_no_space(store: ImageStore) -> None:
    image_id = new_id()
    with store.begin(image_id, new_id()) as upload:
        for _ in range(64):
            upload.write(bytes(CHUNK_BYTES))
        upload.publish()
    found = store.path(image_id).stat()
    assert found.st_size == 64 * CHUNK_BYTES
    assert found.st_blocks * 512 < CHUNK_BYTES


def test_an_empty_upload_is_an_empty_image(store: ImageStore) -> None:
    image_id = new_id()
    with store.begin(image_id, new_id()) as upload:
        assert upload.publish().size == 0
    assert store.path(image_id).read_bytes() == b""


def test_an_upload_that_ends_early_leaves_nothing(store: ImageStore) -> None:
    with store.begin(new_id(), new_id()) as upload:
        upload.write(b"half")
    assert names(store) == []


def test_a_published_upload_can_still_be_discarded(store: ImageStore) -> None:
    with store.begin(new_id(), new_id()) as upload:
        upload.write(b"all")
        upload.publish()
        upload.discard()
    assert names(store) == []


def test_discarding_spares_the_bytes_of_another_upload(store: ImageStore) -> None:
    image_id = new_id()
    with store.begin(image_id, new_id()) as late, store.begin(image_id, new_id()) as winner:
        late.write(b"late")
        late.publish()
        winner.write(b"winner")
        winner.publish()
        late.discard()
    assert store.path(image_id).read_bytes() == b"winner"


def test_an_upload_lives_until_it_is_closed(store: ImageStore) -> None:
    image_id, upload_id = new_id(), new_id()
    assert not store.alive(image_id, upload_id)
    upload = store.begin(image_id, upload_id)
    assert store.alive(image_id, upload_id)
    with pytest.raises(FileExistsError):
        store.begin(image_id, upload_id)
    assert not store.remove_upload(image_id, upload_id)
    upload.publish()
    assert store.alive(image_id, upload_id)
    upload.close()
    assert not store.alive(image_id, upload_id)


def test_an_upload_dies_with_its_process(store: ImageStore, processes: Processes) -> None:
    image_id, upload_id = new_id(), new_id()
    program = (
        "import pathlib, signal, sys\nfrom pumice.images.store import ImageStore\n"
        "upload = ImageStore(pathlib.Path(sys.argv[1])).begin(*sys.argv[2:])\n"
        "upload.write(b'half')\nprint('writing', flush=True)\nsignal.pause()"
    )
    process = processes.start(sys.executable, "-c", program, str(store.directory), image_id, upload_id)
    process.wait_for_output("writing", deadline=20)
    assert store.alive(image_id, upload_id)
    process.send(signal.SIGSTOP)  # paused is not dead
    assert store.alive(image_id, upload_id)
    process.kill()
    assert not store.alive(image_id, upload_id)
    assert store.uploads() == [(image_id, upload_id)]
    assert store.remove_upload(image_id, upload_id)
    assert names(store) == []


def test_no_more_than_the_limit(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", size_limit=10)
    with store.begin(new_id(), new_id()) as upload:
        upload.write(b"0123456789")
        with pytest.raises(ImageTooLarge, match="more than 10 bytes"):
            upload.write(b"!")
    with pytest.raises(ImageTooLarge, match="has 11 bytes; an image may have 10"):
        store.expect(11)
    store.expect(10)
    store.expect(None)


def test_what_cannot_fit_is_refused_before_it_is_sent(store: ImageStore) -> None:
    with pytest.raises(StoreFull, match="bytes free"):
        store.expect(1 << 60)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_at_the_sync_publishes_nothing(store: ImageStore, error: int) -> None:
    with planned(Plan()) as plan, store.begin(new_id(), new_id()) as upload:
        upload.write(b"data")
        plan.fail("image.publish:written", OSError(error, os.strerror(error)))
        with pytest.raises(StoreFull):
            upload.publish()
    assert names(store) == []


def test_a_failure_between_sync_and_name_leaves_nothing(store: ImageStore) -> None:
    with planned(Plan()) as plan, store.begin(new_id(), new_id()) as upload:
        plan.fail("image.publish:synced", OSError(errno.EIO, "no"))
        with pytest.raises(OSError, match="no"):
            upload.publish()
    assert names(store) == []


def test_bytes_stay_readable_while_the_image_is_removed(store: ImageStore) -> None:
    image_id = new_id()
    with store.begin(image_id, new_id()) as upload:
        upload.write(b"0123456789")
        upload.publish()
    reader = store.open(image_id)
    assert store.remove(image_id)
    assert not store.remove(image_id)
    assert (reader.size, reader.read(2, 3), reader.read(8, 9)) == (10, b"234", b"89")
    reader.close()
    assert reader.read(0, 1) == b""
    with pytest.raises(NoData):
        store.open(image_id)


def test_a_path_is_made_of_a_uuid_only(store: ImageStore) -> None:
    with pytest.raises(ValueError, match="badly formed"):
        store.path("../etc/passwd")


@pytest.mark.real
def test_a_full_disk_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mount)], check=True)
    try:
        store = ImageStore(mount / "images")
        with store.begin(new_id(), new_id()) as upload, pytest.raises(StoreFull, match="full"):
            for _ in range(8):
                upload.write(os.urandom(CHUNK_BYTES))
        assert names(store) == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_the_reserve_is_left_to_others(tmp_path: Path) -> None:
    """A disk that images have filled would stop the database beside them."""
    (tmp_path / "images").mkdir()
    space = os.statvfs(tmp_path)
    store = ImageStore(tmp_path / "images", reserve=space.f_blocks * space.f_frsize)
    with pytest.raises(StoreFull, match="has 0 bytes free"):
        store.expect(1)
    with store.begin(new_id(), new_id()) as upload, pytest.raises(StoreFull, match="is full"):
        upload.write(b"not announced")
    assert names(store) == []


def test_data_of_another_format_is_refused_at_its_first_bytes(store: ImageStore) -> None:
    with store.begin(new_id(), new_id()) as upload:
        upload.disk_format = "qcow2"
        upload.write(bytes(1000))  # too few to tell
        with pytest.raises(UnusableImage, match="no signature"):
            upload.write(bytes(1 << 20))
    assert store.uploads() == []


def test_data_too_short_to_tell_is_refused_at_its_end(store: ImageStore) -> None:
    with store.begin(new_id(), new_id()) as upload:
        upload.disk_format = "qcow2"
        upload.write(b"QFI\xfb")
        with pytest.raises(UnusableImage, match="truncated"):
            upload.publish()
    assert store.uploads() == [] and store.published() == []
