#!/usr/bin/env bash
# The man pages, made from the helps as for the package.
set -euo pipefail
folder=${TEST_TMPDIR:-/tmp}/man
tools/man_pages.sh cli/twostep "$folder"
failed=0

# expect WHAT COMMAND...: that it succeeds.
expect() {
  local what=$1
  shift
  "$@" >/dev/null || { echo "not so: $what" && failed=1; }
}

section() { sed -n "/^\\.SH \"\\?$2\"\\?$/,/^\\.SH/p" "$folder/$1.1"; }

for name in twostep twostep-{replay,compare,merge,explain,diff,stress,policies,bench}; do
  for heading in SYNOPSIS DESCRIPTION OPTIONS EXAMPLES "EXIT STATUS" "SEE ALSO"; do
    expect "$name has $heading" grep -x "\\.SH \"\\?$heading\"\\?" "$folder/$name.1"
  done
  expect "$name has its examples under that heading alone" \
    test "$(grep -c 'Example' "$folder/$name.1")" = 0
  expect "$name has no subcommands or options in its description" \
    test -z "$(section "$name" DESCRIPTION | grep -E 'Subcommands|Options:')"
  expect "$name says what its guides are called where they are installed" \
    test -z "$(grep -oE '(^|[^/])docs/' "$folder/$name.1")"
  expect "$name leaves itself out of what else to see" \
    test -z "$(section "$name" 'SEE ALSO' | grep -x "\\.BR ${name//-/\\\\-} (1),")"
  while read -r guide; do
    expect "the package has $guide" grep -qx "docs/$guide" debian/twostep.docs
  done < <(sed 's/\\//g' "$folder/$name.1" |
    grep -oE '/usr/share/doc/twostep/[a-z-]+\.md' | sed 's:.*/::')
done
expect "each command of diff's example has a line" test "$(
  section twostep-diff EXAMPLES | grep -c '^twostep ')" = 3
expect "an example is not flowed" test "$(section twostep-diff EXAMPLES | sed -n 2p)" = .nf
expect "subcommands have their pages named" test "$(
  section twostep SUBCOMMANDS | grep -c '^\.BR twostep.*(1)$')" = 8
exit "$failed"
