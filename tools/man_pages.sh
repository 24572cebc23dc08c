#!/usr/bin/env bash
# Writes the man pages: twostep.1, and twostep-SUBCOMMAND.1 of every subcommand
# that its help lists. tools/man_pages.sh TWOSTEP FOLDER
set -euo pipefail
twostep=$1 folder=$2

# page NAME SUMMARY [SUBCOMMAND]
page() {
  # help2man names a page after the program.
  help2man --no-info --name="$2" --help-option="${3-} --help" "$twostep" |
    sed -e "s/^\\.TH TWOSTEP /.TH ${1^^} /" \
      -e "s/^twostep \\\\- /${1//-/\\\\-} \\\\- /" >"$folder/$1.1"
}

mkdir -p "$folder"
page twostep "buffer objects that reach a device in two steps"
"$twostep" --help | sed -n '/^Subcommands:/,$s/^  \([a-z]\+\)  *\(.*\)/\1 \2/p' |
  while read -r name summary; do
    page "twostep-$name" "$summary" "$name"
  done
