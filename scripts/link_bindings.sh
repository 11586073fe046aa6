#!/bin/bash
# link_bindings.sh PYTHON [MODULE...] - make Debian's compiled Python bindings (python3-libvirt, python3-rados,
# python3-rbd) importable by another CPython of the same minor version, such as that of a virtual environment.
#
# PyPI has no wheels of rados and rbd, and libvirt-python must be compiled there. Debian 12's files are built for
# CPython 3.11: any 3.11 can load them. Links to just these files go into PYTHON's site-packages, so nothing else of
# Debian's dist-packages leaks into the environment. Idempotent. Default module: libvirt.
set -eu
die() { printf 'link_bindings.sh: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] || die "usage: link_bindings.sh PYTHON [MODULE...]"
python=$1; shift
[ $# -gt 0 ] || set -- libvirt
command -v "$python" >/dev/null || die "no such Python: $python"
[ -x /usr/bin/python3 ] || die "Debian's /usr/bin/python3 is missing (apt-get install python3)"
tag='import sys; print("%d.%d" % sys.version_info[:2])'
ours=$("$python" -c "$tag") debian=$(/usr/bin/python3 -c "$tag")
[ "$ours" = "$debian" ] || die "$python is Python $ours, Debian's bindings are for $debian"
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
dist=/usr/lib/python3/dist-packages
[ "$site" != "$dist" ] || exit 0

for module in "$@"; do
    found=
    for file in "$dist/$module".py "$dist/$module".cpython-*.so "$dist/$module"mod*.so "$dist/$module"_*.py; do
        if [ -e "$file" ]; then ln -sf "$file" "$site/"; found=1; fi
    done
    [ -n "$found" ] || die "$module is not installed (apt-get install python3-$module)"
    "$python" -c "import $module" || die "$python cannot import $module"
done
