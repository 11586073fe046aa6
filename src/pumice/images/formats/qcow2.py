"""qcow2: what its header and tables say (QEMU's docs/interop/qcow2.txt), and what is refused.

Refused: a backing file, an external data file, features that are not known, encryption, internal snapshots, an image
that was not closed cleanly or is marked corrupt, tables that are not in the file, share a place, or lead behind its end
(QEMU would read zeros there and say nothing).
"""

import struct
from array import array
from bisect import bisect_left
from functools import reduce
from operator import or_

import msgspec

from pumice.images.formats.reading import SECTOR, Untrusted

MAGIC = b"QFI\xfb"

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_VERSION_3 = struct.Struct(">QQQII")

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2

_RAW_OUTSIDE = 2
"""Of the features that are forgotten by who does not know them: the external data file is a raw image."""
_MOST_COUNT_BITS = 6

_END, _BACKING_FORMAT, _DATA_FILE_NAME, _ENCRYPTION = 0, 0xE2792ACA, 0x44415441, 0x0537BE77

_MOST_L1 = (32 << 20) // 8
_MOST_REFCOUNT_TABLE = 8 << 20
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_WHOLE = (1 << 32) - 1
_COMPRESSED, _COPIED = 1 << 62, 1 << 63


class _Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What of the header the tables are read by."""

    cluster_bits: int
    size: int
    l1_size: int
    l1_offset: int
    extended: bool

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits

    @property
    def entries(self) -> int:
        """Of one L2 table."""
        return self.cluster // (16 if self.extended else 8)


def virtual_size(data: Untrusted) -> int:
    """Bytes of the disk inside. Raises UnusableImage."""
    layout = _read_header(data)
    needed = -(-layout.size // (layout.cluster * layout.entries))
    if layout.l1_size < needed:
        raise data.refused(f"its L1 table has {layout.l1_size} entries, and {layout.size} bytes of disk need {needed}")
    data.holds(layout.l1_offset, layout.l1_size * 8, "L1 table")
    _check_tables(data, layout, data.numbers(layout.l1_offset, needed, "Q", "big", "L1 table"))
    return layout.size // SECTOR * SECTOR


def _read_header(data: Untrusted) -> _Layout:
    (
        _, version, backing, _, cluster_bits, size, encryption, l1_size, l1_offset, refcounts, refcount_clusters,
        snapshots, snapshots_at,
    ) = _HEADER.unpack(data.read(0, _HEADER.size, "header"))  # fmt: skip
    if version not in (2, 3):
        raise data.refused(f"it is of version {version}, and 2 and 3 are known")
    if backing:
        raise data.refused("it has a backing file; put both into one file with qemu-img convert")
    if not 9 <= cluster_bits <= 21:
        raise data.refused(f"its header is damaged: clusters of 2^{cluster_bits} bytes do not exist")
    if encryption:
        raise data.refused("it is encrypted; upload it without encryption")
    if snapshots:
        raise data.refused(f"it has {snapshots} internal snapshots; remove them with qemu-img snapshot -d")
    if l1_size > _MOST_L1:
        raise data.refused(f"its L1 table has {l1_size} entries, where {_MOST_L1} are the most")
    features, raw_outside, count_bits, header_length = 0, False, 4, _HEADER.size
    if version == 3:
        features, _, others, count_bits, header_length = _VERSION_3.unpack(
            data.read(_HEADER.size, _VERSION_3.size, "header")
        )
        raw_outside = bool(others & _RAW_OUTSIDE)
    cluster = 1 << cluster_bits
    data.allow(size // SECTOR * SECTOR)  # QEMU forgets what is behind the last whole sector
    if header_length % 8 or not (104 if version == 3 else 72) <= header_length <= cluster:
        raise data.refused(f"its header is damaged: {header_length} is no length of a header")
    _check_features(data, features)
    _check_extensions(data, header_length, cluster)
    if raw_outside or count_bits > _MOST_COUNT_BITS:
        raise data.refused("its header is damaged: it tells of a data file, or of reference counts, that cannot be")
    _check_compression(data, features, header_length)
    if any(place % cluster for place in (l1_offset, refcounts, snapshots_at)) or snapshots_at > data.size:
        raise data.refused("its header is damaged: the places of its tables are wrong")
    if not 0 < refcount_clusters * cluster <= _MOST_REFCOUNT_TABLE:
        raise data.refused("its header is damaged: the places of its tables are wrong")
    data.holds(refcounts, refcount_clusters * cluster, "refcount table")
    return _Layout(
        cluster_bits=cluster_bits,
        size=size,
        l1_size=l1_size,
        l1_offset=l1_offset,
        extended=bool(features & _EXTENDED_L2),
    )


def _check_features(data: Untrusted, features: int) -> None:
    if features & _DATA_FILE:
        raise data.refused("its data is in an external data file; put all into one file with qemu-img convert")
    if unknown := features & ~_KNOWN:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        raise data.refused(f"it needs features that are not known (bits {bits})")
    if features & _CORRUPT:
        raise data.refused("it is marked corrupt; repair it with qemu-img check -r all")
    if features & _DIRTY:
        raise data.refused("it was not closed cleanly; repair it with qemu-img check -r all")


def _check_compression(data: Untrusted, features: int, header_length: int) -> None:
    """zlib, or zstd with the feature that says so."""
    kind = data.read(104, 1, "header")[0] if header_length > 104 else 0
    if kind > 1 or (kind == 1) != bool(features & _COMPRESSION):
        raise data.refused(f"its header is damaged: compression of type {kind} is not known")


def _check_extensions(data: Untrusted, start: int, end: int) -> None:
    """The header's extensions, up to the end of the first cluster."""
    at = start
    while at + 8 <= min(end, data.size):
        kind, length = struct.unpack(">II", data.read(at, 8, "header extensions"))
        if kind == _END:
            return
        if kind == _DATA_FILE_NAME:
            raise data.refused("it names an external data file; put all into one file with qemu-img convert")
        if kind == _ENCRYPTION:
            raise data.refused("it is encrypted; upload it without encryption")
        if at + 8 + length > end:
            raise data.refused("its header is damaged: an extension is longer than its place")
        at += 8 + -(-length // 8) * 8


def _check_tables(data: Untrusted, layout: _Layout, l1: "array[int]") -> None:
    """Every cluster that an L2 table names is in the file."""
    seen: set[int] = set()
    for index, entry in enumerate(l1):
        offset = entry & _OFFSET
        if offset % layout.cluster or entry & ~(_OFFSET | _COPIED):
            raise data.refused(f"entry {index} of its L1 table is damaged")
        if not offset:
            continue
        if offset in seen:
            raise data.refused(f"entry {index} of its L1 table leads to the same place as another one")
        seen.add(offset)
        _check_l2(data, layout, index, offset)


def _check_l2(data: Untrusted, layout: _Layout, index: int, offset: int) -> None:
    table = data.numbers(offset, layout.cluster // 8, "Q", "big", "L2 table")
    entries = list(table[::2] if layout.extended else table)
    # Sorted, the kinds of entries lie together: one look at the end of each finds what is furthest in the file.
    ordered = sorted(entries)
    plain, packed, copied = (bisect_left(ordered, start) for start in (_COMPRESSED, _COPIED, _COPIED | _COMPRESSED))
    if copied != len(ordered):
        raise data.refused("an L2 table is damaged: a compressed cluster is said to be in use once")
    for start, end in ((0, plain), (packed, copied)):
        if reduce(or_, ordered[start:end], 0) & (_OFFSET & (layout.cluster - 1)):
            raise data.refused("an L2 table is damaged: a cluster does not begin where one can begin")
        if end > start and (furthest := ordered[end - 1]) & _OFFSET:
            position = entries.index(furthest)
            there = table[2 * position + 1] if layout.extended else _WHOLE
            _check_cluster(data, layout, index * layout.entries + position, furthest & _OFFSET, there)
    shift = 62 - (layout.cluster_bits - 8)
    for entry in ordered[plain:packed]:
        place = entry & ((1 << shift) - 1)
        if place >= data.size:
            data.holds(place, 1, "compressed data")
        sectors = ((entry & ~_COMPRESSED) >> shift) + 1
        # The last sector may be incomplete: what is written ends where the compressed data ends.
        data.holds(place // SECTOR * SECTOR, (sectors - 1) * SECTOR + 1, "compressed data")


def _check_cluster(data: Untrusted, layout: _Layout, number: int, offset: int, there: int) -> None:
    """there: a bit for each of its 32 subclusters that the file has."""
    used = layout.cluster // 32 * (there & _WHOLE).bit_length()
    # A disk may end within its last cluster, and then so may the file.
    data.holds(offset, min(used, max(0, layout.size - number * layout.cluster)), "data")
