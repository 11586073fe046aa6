"""Files of images, good and hostile: made by the real qemu-img, then damaged byte by byte."""

import json
import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pumice.images.formats.inspect import begins_as, inspect
from pumice.images.formats.reading import UnusableImage

pytestmark = pytest.mark.real

MIB = 1 << 20
SIZE = 4 * MIB + 1536
LIMIT = 1 << 40


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk with data here and there, and at its very end."""
    path = tmp_path_factory.mktemp("raw") / "disk"
    made = random.Random(7)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in (0, MIB, 3 * MIB + 4096, SIZE - 700):
            file.seek(at)
            file.write(made.randbytes(700))
    return path


def convert(raw: Path, target: Path, disk_format: str, *options: str) -> Path:
    words = ["qemu-img", "convert", "-q", "-f", "raw", "-O", disk_format, *options, str(raw), str(target)]
    subprocess.run(words, check=True, capture_output=True)
    return target


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True, capture_output=True)


def size_of(path: Path, disk_format: str, limit: int | None = LIMIT) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return inspect(fd, disk_format, limit)
    finally:
        os.close(fd)


def refusal(path: Path, disk_format: str, limit: int | None = LIMIT) -> str:
    with pytest.raises(UnusableImage) as caught:
        size_of(path, disk_format, limit)
    message = caught.value.message
    assert message.startswith("The data cannot be used as a") and message.count("\n") == 0
    return message


def patch(path: Path, at: int, code: str, *values: int | bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack(code, *values))


def u64(path: Path, at: int) -> int:
    with path.open("rb") as file:
        file.seek(at)
        return int(struct.unpack(">Q", file.read(8))[0])


GOOD = {
    "qcow2": ("qcow2",),
    "qcow2 of version 2": ("qcow2", "-o", "compat=0.10"),
    "qcow2 compressed": ("qcow2", "-c"),
    "qcow2 with subclusters": ("qcow2", "-o", "extended_l2=on,cluster_size=128k"),
    "qcow2 of smallest clusters": ("qcow2", "-o", "cluster_size=512"),
    "qcow2 of largest clusters": ("qcow2", "-o", "cluster_size=2M"),
    "qcow2 preallocated": ("qcow2", "-o", "preallocation=metadata"),
    "vdi": ("vdi",),
    "vdi static": ("vdi", "-o", "static=on"),
    "vmdk": ("vmdk",),
    "vmdk stream": ("vmdk", "-o", "subformat=streamOptimized"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_qemu_img_makes_is_taken_and_half_of_it_is_not(kind: str, raw: Path, tmp_path: Path) -> None:
    disk_format, *options = GOOD[kind]
    path = convert(raw, tmp_path / "image", disk_format, *options)
    assert size_of(path, disk_format) == SIZE
    os.truncate(path, path.stat().st_size // 2)
    assert "truncated" in refusal(path, disk_format)


@pytest.mark.parametrize("kind", ["qcow2", "qcow2 compressed", "qcow2 with subclusters", "vdi", "vmdk"])
def test_an_image_whose_last_sectors_are_missing_is_truncated(kind: str, tmp_path: Path) -> None:
    """QEMU would read zeros there."""
    disk_format, *options = GOOD[kind]
    full = tmp_path / "full"
    full.write_bytes(random.Random(3).randbytes(4 * MIB))
    path = convert(full, tmp_path / "image", disk_format, *options)
    cut = {"qcow2 compressed": 70000}.get(kind, 512)
    os.truncate(path, path.stat().st_size - cut)
    assert "truncated" in refusal(path, disk_format)


def test_every_other_format_is_told_by_name(raw: Path, tmp_path: Path) -> None:
    qcow2, vmdk = convert(raw, tmp_path / "a", "qcow2"), convert(raw, tmp_path / "b", "vmdk")
    assert "it looks like vmdk" in refusal(vmdk, "qcow2")
    assert "it looks like qcow2" in refusal(qcow2, "vmdk")
    assert "it looks like qcow2" in refusal(qcow2, "iso")
    assert "it has no signature of one" in refusal(raw, "qcow2")
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert "no signature" in refusal(empty, "vdi")


def test_raw_bytes_are_bytes_whatever_they_look_like(raw: Path, tmp_path: Path) -> None:
    backing = tmp_path / "secret"
    backing.write_bytes(b"secret" * 1000)
    trap = tmp_path / "trap"
    qemu_img("create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", trap)
    for disk_format in ("raw", "aki", "ari", "ami"):
        assert size_of(trap, disk_format) == trap.stat().st_size


def test_an_iso_has_the_signature_of_one(tmp_path: Path) -> None:
    path = tmp_path / "iso"
    path.write_bytes(bytes(0x8001) + b"CD001" + bytes(4096))
    assert size_of(path, "iso") == 0x8001 + 5 + 4096
    begins_as("iso", path.read_bytes()[:0x8006])


def backing_file(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(bytes(MIB))
    qemu_img("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", path)


def data_file(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={elsewhere},data_file_raw=on", path, "1M")


def data_file_by_its_name_only(path: Path) -> None:
    data_file(path)
    patch(path, 72, ">Q", 0)


def plain(*patches: tuple[int, str, int]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        qemu_img("create", "-q", "-f", "qcow2", path, "64M")
        qemu_io = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", str(path)]
        subprocess.run(qemu_io, check=True, capture_output=True)
        for at, code, value in patches:
            patch(path, at, code, value)

    return make


def with_snapshot(path: Path) -> None:
    plain()(path)
    qemu_img("snapshot", "-c", "before", path)


def l1_shared(path: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", path, "2G")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", str(path)], check=True, capture_output=True)
    l1 = u64(path, 40)
    patch(path, l1 + 8, ">Q", u64(path, l1))


def l2_damaged(path: Path) -> None:
    plain()(path)
    l2 = u64(path, u64(path, 40)) & 0x00FF_FFFF_FFFF_FE00
    patch(path, l2, ">Q", u64(path, l2) + 512)


def l2_far_away(path: Path) -> None:
    plain()(path)
    patch(path, u64(path, 40), ">Q", 1 << 40)


def l1_with_other_bits(path: Path) -> None:
    plain()(path)
    patch(path, u64(path, 40), ">Q", 3)


def bomb(path: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", path, "64T")


QCOW2 = {
    "backing file": (backing_file, "it has a backing file"),
    "external data file": (data_file, "its data is in an external data file"),
    "name of a data file": (data_file_by_its_name_only, "it names an external data file"),
    "encryption": (plain((32, ">I", 2)), "it is encrypted"),
    "header of an encryption": (plain((112, ">I", 0x0537_BE77), (116, ">I", 16)), "it is encrypted"),
    "old encryption": (plain((32, ">I", 1)), "it is encrypted"),
    "unknown feature": (plain((72, ">Q", 1 << 40 | 1 << 7)), r"features that are not known (bits 7, 40)"),
    "dirty": (plain((72, ">Q", 1)), "it was not closed cleanly"),
    "corrupt": (plain((72, ">Q", 2)), "it is marked corrupt"),
    "snapshots": (with_snapshot, "it has 1 internal snapshots"),
    "huge L1 table": (plain((36, ">I", 0xFFFF_FFFF)), "its L1 table has 4294967295 entries"),
    "L1 table too small": (plain((36, ">I", 0)), "its L1 table has 0 entries"),
    "L1 table elsewhere": (plain((40, ">Q", 1 << 50)), "its L1 table ends at byte"),
    "L1 table askew": (plain((40, ">Q", 7)), "the places of its tables are wrong"),
    "L1 table shared": (l1_shared, "leads to the same place"),
    "L1 table with other bits": (l1_with_other_bits, "entry 0 of its L1 table is damaged"),
    "L2 table damaged": (l2_damaged, "a cluster does not begin where one can begin"),
    "L2 table far away": (l2_far_away, "its L2 table ends at byte"),
    "huge refcount table": (plain((56, ">I", 0xFFFF_FFFF)), "the places of its tables are wrong"),
    "refcount table elsewhere": (plain((48, ">Q", 1 << 50)), "its refcount table ends at byte"),
    "huge clusters": (plain((20, ">I", 63)), "clusters of 2^63 bytes"),
    "tiny clusters": (plain((20, ">I", 0)), "clusters of 2^0 bytes"),
    "no bytes": (plain((24, ">Q", 0)), "its disk has no bytes"),
    "size bomb": (bomb, f"its disk has {64 << 40} bytes"),
    "greatest size": (plain((24, ">Q", (1 << 64) - 1)), f"its disk has {(1 << 64) - 512} bytes"),
    "version": (plain((4, ">I", 9)), "it is of version 9"),
    "header length": (plain((100, ">I", 1 << 31)), "2147483648 is no length of a header"),
    "raw data outside": (plain((88, ">Q", 2)), "it tells of a data file"),
    "huge reference counts": (plain((96, ">I", 7)), "or of reference counts"),
    "no reference counts": (plain((56, ">I", 0)), "the places of its tables are wrong"),
    "place of snapshots": (plain((64, ">Q", 1 << 62)), "the places of its tables are wrong"),
    "compression": (plain((104, ">B", 9)), "compression of type 9 is not known"),
    "compression that is not told of": (plain((104, ">B", 1)), "compression of type 1 is not known"),
    "less than a sector": (plain((24, ">Q", 511)), "its disk has no bytes"),
    "endless extension": (plain((104, ">Q", 0), (112, ">I", 1), (116, ">I", 0xFFFF_FFFF)), "an extension is longer"),
}


@pytest.mark.parametrize("kind", QCOW2)
def test_a_hostile_qcow2_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    make, reason = QCOW2[kind]
    path = tmp_path / "image"
    make(path)
    assert reason in refusal(path, "qcow2")


def test_without_a_limit_any_size_goes(tmp_path: Path) -> None:
    bomb(tmp_path / "image")
    assert size_of(tmp_path / "image", "qcow2", None) == 64 << 40


def described(path: Path, text: str, *, capacity: int = 2048) -> None:
    """A sparse VMDK of 1 MiB with this descriptor."""
    raw = path.with_name("raw")
    raw.write_bytes(b"x" * MIB)
    convert(raw, path, "vmdk")
    patch(path, 512, f">{20 * 512}s", text.encode())
    patch(path, 12, "<Q", capacity)


ONE_EXTENT = '# Disk DescriptorFile\nCID=1a\ncreateType="{}"\nparentCID={}\n{}\n'
OWN = 'RW 2048 SPARSE "image.vmdk"'

VMDK = {
    "other file": (ONE_EXTENT.format("monolithicSparse", "ffffffff", 'RW 2048 SPARSE "/etc/shadow"'), "another file"),
    "flat": (ONE_EXTENT.format("monolithicFlat", "ffffffff", 'RW 2048 FLAT "passwd" 0'), "it is of kind"),
    "flat in disguise": (ONE_EXTENT.format("monolithicSparse", "ffffffff", 'RW 2048 FLAT "passwd" 0'), "1 extents"),
    "two": (ONE_EXTENT.format("monolithicSparse", "ffffffff", f"{OWN}\n{OWN}"), "2 extents"),
    "odd": (ONE_EXTENT.format("monolithicSparse", "ffffffff", f"{OWN}\nRW x FLAT y"), "extent that is not understood"),
    "parent": (ONE_EXTENT.format("monolithicSparse", "12345678", OWN), "it has a parent"),
    "hint": (ONE_EXTENT.format("monolithicSparse", "ffffffff", f'{OWN}\nparentFileNameHint="/x"'), "it has a parent"),
    "no CID": (ONE_EXTENT.format("monolithicSparse", "what", OWN), "it has no CID"),
    "other size": (ONE_EXTENT.format("monolithicSparse", "ffffffff", 'RW 9 SPARSE "a"'), "tells of 9 sectors"),
}


@pytest.mark.parametrize("kind", VMDK)
def test_a_vmdk_that_names_other_files_is_refused(kind: str, tmp_path: Path) -> None:
    text, reason = VMDK[kind]
    path = tmp_path / "image"
    described(path, text)
    assert reason in refusal(path, "vmdk")


def test_a_vmdk_without_sectors_of_its_own_is_refused(tmp_path: Path) -> None:
    """QEMU then reads the descriptor's extents, whatever files they are."""
    path = tmp_path / "image"
    described(path, ONE_EXTENT.format("monolithicFlat", "ffffffff", 'RW 2048 FLAT "passwd" 0'), capacity=0)
    assert "it names other files" in refusal(path, "vmdk")


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_a_vmdk_descriptor_is_refused(subformat: str, raw: Path, tmp_path: Path) -> None:
    path = convert(raw, tmp_path / "image.vmdk", "vmdk", "-o", f"subformat={subformat}")
    assert "a descriptor that names other files" in refusal(path, "vmdk")


def test_a_vmdk_may_not_lead_behind_its_end_or_be_huge(raw: Path, tmp_path: Path) -> None:
    path = convert(raw, tmp_path / "image", "vmdk")
    assert "may have 1048576 at most" in refusal(path, "vmdk", MIB)
    patch(path, 56, "<Q", 1 << 40)
    assert "its grain directory ends at byte" in refusal(path, "vmdk")
    path = convert(raw, tmp_path / "image", "vmdk")
    patch(path, 48, "<Q", 1 << 40)
    assert "its spare grain directory ends at byte" in refusal(path, "vmdk")
    path = convert(raw, tmp_path / "image", "vmdk")
    patch(path, 64, "<Q", 1 << 40)
    assert "its space before its grains ends at byte" in refusal(path, "vmdk")


def test_a_vdi_with_a_parent_or_of_damaged_tables_is_refused(raw: Path, tmp_path: Path) -> None:
    def damaged(at: int, code: str, value: int | bytes) -> str:
        path = convert(raw, tmp_path / "image", "vdi")
        patch(path, at, code, value)
        return refusal(path, "vdi")

    assert "the difference to another image" in damaged(424, "<16s", b"x" * 16)
    assert "the difference to another image" in damaged(440, "<16s", b"x" * 16)
    assert "it is of kind 4" in damaged(76, "<I", 4)
    assert "are no disk of" in damaged(384, "<I", 0xFFFF_FFFF)
    assert "are no disk of" in damaged(384, "<I", 1)
    assert f"its disk has {1 << 60} bytes" in damaged(368, "<Q", 1 << 60)
    assert "the places of its tables are wrong" in damaged(340, "<I", 3)
    assert "blocks of 512+0 bytes" in damaged(376, "<I", 512)
    assert "lead to the same place" in damaged(512, "<I", 1)


def test_random_damage_never_breaks_the_reader(raw: Path, tmp_path: Path) -> None:
    """Whatever a header says, the answer is a size or a refusal, and soon."""
    made = random.Random(11)
    for disk_format in ("qcow2", "vdi", "vmdk"):
        whole = convert(raw, tmp_path / disk_format, disk_format).read_bytes()
        for _ in range(300):
            data = bytearray(whole)
            for _ in range(made.randrange(1, 6)):
                at = made.randrange(4, made.choice((128, 512, 4096, len(data) - 8)))
                length = made.choice((1, 4, 8))
                data[at : at + length] = made.choice((bytes(length), b"\xff" * length, made.randbytes(length)))
            path = tmp_path / "damaged"
            path.write_bytes(data)
            try:
                assert size_of(path, disk_format) > 0
            except UnusableImage as error:
                assert error.message


@pytest.mark.parametrize("disk_format", ["qcow2", "vdi", "vmdk"])
def test_what_is_taken_is_taken_by_qemu_too_and_is_as_large(disk_format: str, raw: Path, tmp_path: Path) -> None:
    """One field of the header is changed at a time. Who uploads is told what is wrong, not whoever uses the image."""
    made, taken = random.Random(5), 0
    whole = convert(raw, tmp_path / "whole", disk_format).read_bytes()
    path = tmp_path / "changed"
    for _ in range(60):
        data, length = bytearray(whole), made.choice((1, 4, 8))
        at = made.randrange(4, 112) // length * length
        data[at : at + length] = made.choice(
            (bytes(length), b"\xff" * length, b"\x01" * length, made.randbytes(length))
        )
        path.write_bytes(data)
        try:
            size = size_of(path, disk_format)
        except UnusableImage:
            continue
        asked = ["qemu-img", "info", "-f", disk_format, "--output", "json", str(path)]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert told.returncode == 0, (at, length, data[at : at + length], told.stderr)
        assert json.loads(told.stdout)["virtual-size"] == size, (at, length, data[at : at + length])
        taken += 1
    assert taken >= 10
