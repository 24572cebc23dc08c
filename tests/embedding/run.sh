#!/usr/bin/env bash
# Builds and runs programs that embed twostep, out of tree, each in its own
# build system: CMake, pkg-config, Bazel over what is installed, Bazel over the
# sources; with the shared library and with the static one.
#
#   tests/embedding/run.sh            builds with CMake, installs into a temporary
#                                     folder, builds the consumers (a quarter of
#                                     an hour on two cores)
#   tests/embedding/run.sh --installed [KIND...]
#                                     the consumers alone, over the package that
#                                     is installed in /usr (a minute)
#
# KINDs: cmake pkg_config bazel_installed bazel_source; all by default, without
# bazel_source for what is installed.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(dirname "$(dirname "$here")")
work=$(mktemp -d "${TMPDIR:-/tmp}/twostep-embedding.XXXXXX")
bazel=(bazel "--output_base=$work/bazel")
finish() {
  (cd "$root" && "${bazel[@]}" shutdown) >/dev/null 2>&1 || true
  chmod -R u+w "$work"
  rm -rf "$work"
}
trap finish EXIT
jobs=(--jobs="${JOBS:-2}")

version=$(sed -n 's/.*kVersion.*"\(.*\)".*/\1/p' "$root/machine/version.h")
says="twostep $version: 1 DMA segment(s), from page 0 of tt"

# check NAME EXPECTED COMMAND...: that this is what it prints.
check() {
  local name=$1 expected=$2 output
  shift 2
  output=$("$@")
  if [[ $output != "$expected" ]]; then
    printf 'FAILED  %s: %s\n' "$name" "$output"
    exit 1
  fi
  printf 'ok      %-24s %s\n' "$name" "$output"
}

# links FILE yes|no: whether it needs the shared library.
links() {
  local found=no
  if readelf -d "$1" | grep -q 'NEEDED.*libtwostep'; then found=yes; fi
  [[ $found == "$2" ]] || { echo "FAILED  $1: shared: $found" && exit 1; }
}

# consumer KIND: a copy of it to build in, outside of the tree.
consumer() {
  rm -rf "${work:?}/$1"
  cp -r "$here/$1" "$work/$1"
  cp "$here/main.cc" "$work/$1"
  cd "$work/$1"
}

cmake_consumer() {
  local library
  for library in twostep twostep_static; do
    consumer cmake
    cmake -S . -B build -DTWOSTEP_LIBRARY="twostep::$library" >cmake.log
    cmake --build build >>cmake.log
    check "cmake, $library" "$says" build/consumer
  done
  links build/consumer no
}

pkg_config_consumer() {
  consumer pkg_config
  make -s
  links consumer yes
  check "pkg-config, shared" "$says" ./consumer
  make -s -B STATIC=-static
  links consumer no
  check "pkg-config, static" "$says" ./consumer
}

bazel_build() {
  "${bazel[@]}" build "${jobs[@]}" --noshow_progress --nosandbox_debug \
    --ui_event_filters=-info "$@"
}

bazel_installed_consumer() {
  consumer bazel_installed
  mkdir third_party
  cp -r "$root/third_party/system" third_party
  bazel_build //:all
  links bazel-bin/consumer yes
  check "Bazel, shared" "$says" bazel-bin/consumer
  links bazel-bin/consumer_static no
  check "Bazel, static" "$says" bazel-bin/consumer_static
}

bazel_source_consumer() {
  consumer bazel_source
  ln -s "$root" twostep
  echo twostep >.bazelignore
  bazel_build //:all
  check "Bazel, sources" "$says" bazel-bin/consumer
  check "a policy's contract" "[  PASSED  ]" \
    sh -c 'bazel-bin/lifo_policy_test | grep -o "^\[  PASSED  \]"'
}

kinds=(cmake pkg_config bazel_installed)
if [[ ${1-} == --installed ]]; then
  shift
else
  kinds+=(bazel_source)
  cmake -S "$root" -B "$work/build" -DCMAKE_INSTALL_PREFIX="$work/prefix" >"$work/log"
  cmake --build "$work/build" "${jobs[@]/--jobs=/-j}" >>"$work/log"
  cmake --install "$work/build" >>"$work/log"
  export PATH=$work/prefix/bin:$PATH
  export CMAKE_PREFIX_PATH=$work/prefix
  export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig
  export LD_LIBRARY_PATH=$work/prefix/lib
fi
[[ $# -eq 0 ]] || kinds=("$@")
check "command" "twostep $version" twostep --version
for kind in "${kinds[@]}"; do
  "${kind}_consumer"
done
