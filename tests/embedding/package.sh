#!/usr/bin/env bash
# What somebody gets who installs the Debian packages on a clean machine: makes
# them from what is committed, in a Debian 12 that has their build dependencies
# alone; installs them in another that has nothing else; builds and runs the
# consumers of run.sh there. As root; debootstrap gets the systems, in a
# temporary folder (3 GB). Half an hour on two cores: by hand, before a release.
#
#   tests/embedding/package.sh [FOLDER]   and keeps the packages in FOLDER
set -euo pipefail

root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
keep=${1:+$(readlink -m "$1")}
work=$(mktemp -d "${TMPDIR:-/tmp}/twostep-package.XXXXXX")
finish() {
  umount "$work"/*/proc 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap finish EXIT

# inside SYSTEM COMMAND...: there, in the copy of the sources.
inside() {
  local system=$1
  shift
  chroot "$work/$system" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    HOME=/root DEBIAN_FRONTEND=noninteractive "JOBS=${JOBS:-2}" \
    "DEB_BUILD_OPTIONS=parallel=${JOBS:-2}" \
    sh -ec 'cd /root/twostep && "$@"' sh "$@"
}
install_in() {
  inside "$1" apt-get install --yes --no-install-recommends "${@:2}"
}

type -P debootstrap >/dev/null || apt-get install --yes debootstrap
echo "A clean Debian 12 in $work"
debootstrap --variant=minbase bookworm "$work/build" >"$work/log"
# Where this machine gets packages from is where they get theirs.
cp /etc/resolv.conf "$work/build/etc/" 2>/dev/null || true
mkdir "$work/build/root/twostep"
git -C "$root" archive HEAD | tar -x -C "$work/build/root/twostep"
cp -a "$work/build" "$work/use"
# Java wants it.
mount -t proc proc "$work/use/proc"

echo "The packages"
install_in build build-essential devscripts equivs >>"$work/log"
inside build mk-build-deps --install --remove \
  --tool 'apt-get --yes --no-install-recommends' debian/control >>"$work/log"
inside build dpkg-buildpackage --unsigned-source --unsigned-changes \
  --build=binary >>"$work/log" 2>&1 || { tail -n 40 "$work/log" && exit 1; }
mv "$work"/build/root/*.deb "$work/use/root/"
if [[ -n $keep ]]; then
  mkdir -p "$keep"
  cp "$work"/use/root/*.deb "$keep"
fi
rm -rf "$work/build"

echo "Installed: what is built against them"
mapfile -t debs < <(cd "$work/use" && printf '/%s\n' root/*.deb)
install_in use "${debs[@]}" >>"$work/log"
install_in use bazel-bootstrap cmake g++ make pkg-config >>"$work/log"
inside use tests/embedding/run.sh --installed
