#!/bin/bash
# setup.sh run|all|conformance - install what Pumice needs. Does nothing, in well under a second, when all is there.
#
#   run           what "make run" needs: packages, .venv with the program, .venv-clients with the stock clients
#   all           and what tests and demo need: their packages and tools, the kernel and ramdisk of the test guest
#   conformance   all, and .venv-conformance with Tempest
#
# As root on Debian or Ubuntu it installs the missing packages of packages.txt itself and starts no service;
# elsewhere it names them and the command, and ends with status 1. Python comes from PUMICE_PYTHON if that is
# set, else the first fitting one of: the system's python3, python3.11 to 3.14. Everything below the project's
# directory is remembered by the hash of what it was made from, so a changed lock file is installed by itself.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin

part=${1:-all}
case $part in
run | all | conformance) ;;
*) echo "usage: setup.sh run|all|conformance" >&2 && exit 2 ;;
esac

die() {
    echo "setup: $*" >&2
    exit 1
}

say() { echo "setup: $*"; }

# quietly NAME COMMAND... - run it with its output in .cache/NAME.log, shown only when it fails.
quietly() {
    local log=.cache/$1.log
    shift
    "$@" </dev/null >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        die "failed: $* (all of its output: $log)"
    }
}

# found BY - is a program of that name, or a file of that pattern, there?
found() {
    case $1 in
    */*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# missing_packages - print the packages of this part whose program or file is not found.
missing_packages() {
    local for_part package by _
    while read -r for_part package by _; do
        case $for_part in
        run) found "$by" || echo "$package" ;;
        test) [ "$part" = run ] || found "$by" || echo "$package" ;;
        esac
    done <scripts/packages.txt
}

# install_packages NAME... - in a subshell, so that its trap ends with it.
install_packages() (
    policy=/usr/sbin/policy-rc.d
    # A package's own script would start its daemon: say no to all of them, unless the machine has a policy already.
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    say "installing packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-update apt-get -q -o DPkg::Lock::Timeout=300 update
    quietly apt-install apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
)

need_packages() {
    local packages
    packages=$(missing_packages | tr '\n' ' ')
    packages=${packages% }
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null; then
        die "these packages (Debian's names) are missing, install what your system calls them: $packages"
    elif [ "$(id -u)" != 0 ]; then
        die "packages are missing; install them as root: sudo apt-get install --no-install-recommends $packages"
    fi
    # shellcheck disable=SC2086
    install_packages $packages
    hash -r
    packages=$(missing_packages | tr '\n' ' ')
    [ -z "$packages" ] || die "still not found after installing: $packages"
}

# need_users - as root, libvirt's QEMU driver refuses to start where its own user and group are unknown, although guests
# run as somebody else here. Debian makes them with the daemon's package, which is not needed: by the same numbers.
need_users() {
    [ "$(id -u)" = 0 ] || return 0
    local group
    for group in kvm libvirt-qemu; do
        getent group $group >/dev/null || groupadd --system $group || die "cannot make the group $group"
    done
    getent passwd libvirt-qemu >/dev/null && return 0
    say "making the system user libvirt-qemu, whom libvirt looks for"
    useradd --system -K SYS_UID_MAX=65000 --uid 64055 --gid libvirt-qemu --home-dir /var/lib/libvirt --no-create-home \
        --shell /usr/sbin/nologin libvirt-qemu || die "cannot make the user libvirt-qemu"
}

# choose_python - print the Python to make environments from: the system's own first, since libvirt's binding is for it.
choose_python() {
    local candidate
    for candidate in ${PUMICE_PYTHON:+"$PUMICE_PYTHON"} /usr/bin/python3 python3.11 python3.12 python3.13 python3.14 python3; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "no Python of version 3.11 or later with its venv module (looked for /usr/bin/python3, python3.11 to python3.14);" \
        "install one, or name one by PUMICE_PYTHON"
}

# environment DIR LOCK WHAT - make the virtual environment DIR with exactly what LOCK names.
environment() {
    local dir=$1 lock=$2 what=$3 key stamp python
    stamp=$dir/installed-$(basename "$lock" .lock)
    key="$(sha256sum <"$lock") $PWD"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && "$dir/bin/python" -c ''; then return 0; fi
    # The programs in an environment name its path: one that was moved, or whose Python is gone, is made anew.
    if ! grep -qsF "$PWD/$dir" "$dir/bin/activate" || ! "$dir/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(choose_python)
        say "making $dir from $("$python" --version)"
        rm -rf "$dir"
        quietly "venv$dir" "$python" -m venv "$dir"
    fi
    say "installing $what into $dir"
    quietly "pip$dir" "$dir/bin/python" -m pip install --no-input --require-hashes -r "$lock"
    echo "$key" >"$stamp"
}

# install_pumice - the project itself, editable: its sources are used where they are.
install_pumice() {
    local stamp=.venv/installed-pumice key
    key="$(sed -n '/^\[tool/q;p' pyproject.toml | sha256sum) $PWD"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && [ -x .venv/bin/pumice ]; then return 0; fi
    say "installing pumice into .venv"
    quietly pip-pumice .venv/bin/python -m pip install --no-input --no-deps --no-build-isolation --editable .
    echo "$key" >"$stamp"
}

# install_libvirt_binding - the system's own where its Python is of our version; else built from PyPI's sources.
install_libvirt_binding() {
    local minor='import sys; print("%d.%d" % sys.version_info[:2])'
    .venv/bin/python -c 'import libvirt' 2>/dev/null && return 0
    if [ "$(.venv/bin/python -c "$minor")" = "$(/usr/bin/python3 -c "$minor")" ]; then
        say "linking the system's libvirt binding into .venv"
        quietly link-bindings scripts/link_bindings.sh .venv/bin/python libvirt
    else
        say "building libvirt's binding for .venv (its Python is not of the system's version)"
        command -v pkg-config >/dev/null && command -v cc >/dev/null && pkg-config --exists libvirt ||
            die "needs the packages libvirt-dev, pkg-config and gcc, or PUMICE_PYTHON of the system's version and no .venv"
        quietly pip-libvirt .venv/bin/python -m pip install --no-input --require-hashes -r requirements/libvirt.lock
    fi
}

# build_guest - kernel and ramdisk of the test guest, for tests and demo.
build_guest() {
    local key stamp=.cache/guest/installed
    key=$(cat tests/lab/*.sh | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && [ -s .cache/guest/vmlinuz ] && [ -s .cache/guest/initrd.gz ]; then
        return 0
    fi
    say "building the test guest into .cache/guest"
    quietly build-guest tests/lab/build_guest.sh .cache/guest
    echo "$key" >"$stamp"
}

mkdir -p .cache
exec 9>.cache/setup.lock
flock 9
need_packages
need_users
if [ "$part" = run ]; then
    environment .venv requirements/run.lock "what Pumice needs"
else
    environment .venv requirements/dev.lock "what Pumice and its tests need"
fi
install_pumice
install_libvirt_binding
environment .venv-clients requirements/clients.lock "the OpenStack clients"
[ "$part" = run ] || build_guest
[ "$part" != conformance ] || environment .venv-conformance requirements/conformance.lock "Tempest"
