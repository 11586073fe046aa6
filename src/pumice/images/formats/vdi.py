"""VDI, VirtualBox's format: a header and one table of blocks, all little-endian (QEMU's block/vdi.c tells the fields).

Refused: an image that is the difference to another one, kinds and block sizes that nobody makes, tables and blocks that
are not in the file.
"""

import struct

from pumice.images.formats.reading import LARGEST_TABLE, SECTOR, Untrusted

SIGNATURE = b"\x7f\x10\xda\xbe"
SIGNATURE_AT = 64
BLOCK = 1 << 20

_HEADER = struct.Struct("<II")
_PLACES = struct.Struct("<II")
_DISK = struct.Struct("<I4xQIIII16s16s16s16s")
_DYNAMIC, _STATIC = 1, 2
_UNUSED = 0xFFFF_FFFE


def virtual_size(data: Untrusted) -> int:
    """Bytes of the disk inside. Raises UnusableImage."""
    version, _ = _HEADER.unpack(data.read(68, _HEADER.size, "header"))
    (kind,) = struct.unpack("<I", data.read(76, 4, "header"))
    table, blocks_at = _PLACES.unpack(data.read(340, _PLACES.size, "header"))
    sector, size, block, extra, blocks, _, _, _, link, parent = _DISK.unpack(data.read(360, _DISK.size, "header"))
    if version != 0x0001_0001:
        raise data.refused(f"it is of version {version >> 16}.{version & 0xFFFF}, and 1.1 is known")
    if any(link) or any(parent):
        raise data.refused("it is the difference to another image; merge both into one file")
    if kind not in (_DYNAMIC, _STATIC):
        raise data.refused(f"it is of kind {kind}, and dynamic (1) and static (2) ones are known")
    if sector != SECTOR or block != BLOCK or extra:
        raise data.refused(f"its header is damaged: blocks of {block}+{extra} bytes in sectors of {sector}")
    data.allow(size)
    if size > blocks * BLOCK or size <= (blocks - 1) * BLOCK:
        raise data.refused(f"its header is damaged: {blocks} blocks of {BLOCK} bytes are no disk of {size} bytes")
    if table % SECTOR or blocks_at % SECTOR or blocks * 4 > LARGEST_TABLE:
        raise data.refused("its header is damaged: the places of its tables are wrong")
    used = [entry for entry in data.numbers(table, blocks, "I", "little", "table of blocks") if entry < _UNUSED]
    if len(set(used)) != len(used):
        raise data.refused("two entries of its table of blocks lead to the same place")
    if used:
        data.holds(blocks_at, max(used) * BLOCK + min(BLOCK, size), "data")
    return int(-(-size // SECTOR) * SECTOR)
