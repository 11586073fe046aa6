"""VMDK in one file: monolithicSparse and streamOptimized (VMware's Virtual Disk Format 1.1), all little-endian.

Refused: a file that is only a descriptor (it names other files), extents that name others, a parent, a disk of no size
(QEMU then follows the descriptor), tables and grains that are not in the file.
"""

import re
import struct

from pumice.images.formats.reading import SECTOR, Untrusted

MAGIC = b"KDMV"
DESCRIPTOR = b"# Disk DescriptorFile"

_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MOST_DESCRIPTOR = 2048
"""Sectors."""
_AT_THE_END = (1 << 64) - 1
_SPARE, _COMPRESSED = 1 << 1, 1 << 16
_KINDS = ("monolithicSparse", "streamOptimized")
_CID = re.compile("[0-9a-fA-F]{1,8}")
_EXTENT = re.compile(r'(\w+)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)")?(?:\s+\d+)?')


def virtual_size(data: Untrusted) -> int:
    """Bytes of the disk inside. Raises UnusableImage."""
    header = _checked_header(data, 0)
    _, _, flags, capacity, grain, text_at, text_size, per_table, spare_directory, directory, overhead, *_ = header
    _check_descriptor(data, text_at, text_size, capacity)
    if directory == _AT_THE_END:
        footer = _checked_header(data, data.size - 2 * SECTOR)
        if footer[3:5] != header[3:5] or footer[5:8] != header[5:8] or footer[2] != flags:
            raise data.refused("its footer says something else than its header")
        directory = footer[9]
        if directory == _AT_THE_END:
            raise data.refused("its footer is damaged: it does not say where the grains are")
    data.holds(0, overhead * SECTOR, "space before its grains")
    if flags & _SPARE:
        tables = -(-capacity // (grain * per_table))
        data.holds(spare_directory * SECTOR, tables * 4, "spare grain directory")
    _check_grains(data, directory, capacity, grain, per_table, compressed=bool(flags & _COMPRESSED))
    return int(capacity) * SECTOR


def _checked_header(data: Untrusted, at: int) -> tuple[int, ...]:
    header = _HEADER.unpack(data.read(at, _HEADER.size, "header"))
    magic, version, flags, capacity, grain, text_at, text_size, per_table, *_, newlines, compression = header
    if magic != MAGIC:
        raise data.refused("its footer is missing: it is truncated")
    if not 1 <= version <= 3:
        raise data.refused(f"it is of version {version}, and 1 to 3 are known")
    if newlines != b"\n \r\n":
        raise data.refused("its header was changed on the way, as by a transfer of text")
    if not capacity:
        raise data.refused("its disk has no sectors of its own: it names other files")
    data.allow(capacity * SECTOR)
    if not 8 <= grain <= 2048 or grain & (grain - 1) or not 1 <= per_table <= 512:
        raise data.refused(f"its header is damaged: grains of {grain} sectors, {per_table} in a table")
    if not text_at or not 1 <= text_size <= _MOST_DESCRIPTOR:
        raise data.refused("it has no descriptor of a single file")
    if compression not in (0, 1) or (compression == 1) != bool(flags & _COMPRESSED):
        raise data.refused(f"its header is damaged: compression {compression} is not known")
    return header


def _check_descriptor(data: Untrusted, at: int, sectors: int, capacity: int) -> None:
    raw = data.read(at * SECTOR, sectors * SECTOR, "descriptor").partition(b"\0")[0]
    values: dict[str, str] = {}
    extents = []
    for line in raw.decode("utf-8", "replace").splitlines():
        line = line.strip()
        match = _EXTENT.fullmatch(line)
        if match and match[1].upper() in ("RW", "RDONLY", "NOACCESS"):
            extents.append(match)
        elif "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            values[name.strip().lower()] = value.strip().strip('"')
        elif line.split(" ", 1)[0].upper() in ("RW", "RDONLY", "NOACCESS"):
            raise data.refused(f"its descriptor has an extent that is not understood: {line[:80]!r}")
    kind = values.get("createtype", "")
    if kind not in _KINDS:
        raise data.refused(f"it is of kind {kind[:40]!r}; single files are {' and '.join(_KINDS)}")
    if not _CID.fullmatch(values.get("cid", "")) or not _CID.fullmatch(values.get("parentcid", "")):
        raise data.refused("its descriptor is damaged: it has no CID")
    if values["parentcid"].lower() != "ffffffff" or "parentfilenamehint" in values:
        raise data.refused("it has a parent; put both into one file with qemu-img convert")
    if len(extents) != 1 or extents[0][3].upper() != "SPARSE" or extents[0][1].upper() != "RW":
        raise data.refused(f"its descriptor names {len(extents)} extents; a single file has one, of its own data")
    if "/" in (extents[0][4] or "") or "\\" in (extents[0][4] or ""):
        raise data.refused(f"its descriptor names another file: {extents[0][4][:80]!r}")
    if int(extents[0][2]) != capacity:
        raise data.refused(f"its descriptor tells of {extents[0][2]} sectors, its header of {capacity}")


def _check_grains(
    data: Untrusted, directory: int, capacity: int, grain: int, per_table: int, *, compressed: bool
) -> None:
    tables = -(-capacity // (grain * per_table))
    seen: set[int] = set()
    for table in data.numbers(directory * SECTOR, tables, "I", "little", "grain directory"):
        if not table:
            continue
        if table in seen:
            raise data.refused("two entries of its grain directory lead to the same place")
        seen.add(table)
        furthest = max(data.numbers(table * SECTOR, per_table, "I", "little", "grain table"))
        if furthest > 1:  # 0: not there, 1: zeros
            data.holds(furthest * SECTOR, _length(data, furthest, compressed) or min(grain, capacity) * SECTOR, "data")


def _length(data: Untrusted, place: int, compressed: bool) -> int:
    """Bytes of a compressed grain with its marker; 0 for one that is not compressed."""
    if not compressed:
        return 0
    _, length = struct.unpack("<QI", data.read(place * SECTOR, 12, "data"))
    return 12 + int(length)
