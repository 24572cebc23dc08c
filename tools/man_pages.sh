#!/usr/bin/env bash
# Writes the man pages: twostep.1, and twostep-SUBCOMMAND.1 of every subcommand
# that its help lists. tools/man_pages.sh TWOSTEP FOLDER
set -euo pipefail
twostep=$1 folder=$2
# Where the package puts the guides.
guides=/usr/share/doc/twostep

work=$(mktemp -d "${TMPDIR:-/tmp}/man_pages.XXXXXX")
trap 'rm -rf "$work"' EXIT

# exit_status SUBCOMMAND: of each code, when; without one, of all.
exit_status() {
  local bad='bad input, which standard error names; or an output, standard output too, that could not be written'
  case $1 in
    replay)
      echo '0 every trace was replayed, no byte was wrong, no rule broken'
      echo '1 a byte was wrong or a rule broken'
      echo "2 $bad; or a run that failed, as its outputs say"
      ;;
    stress)
      echo '0 all scenarios were clean, and in a soak memory did not grow'
      echo '1 something went wrong: the table says what, and how to repeat it'
      echo "2 $bad"
      ;;
    bench)
      echo '0 all rows ran, or were skipped for want of memory'
      echo '1 a row failed'
      echo "2 $bad; or the benchmarks are not part of this program"
      ;;
    compare | merge)
      echo '0 all cells ran'
      echo '1 a cell broke a rule'
      echo "2 $bad"
      echo '3 some cells could not run: their rows say why'
      ;;
    '')
      echo '0 all is well'
      echo '1 a byte was wrong, or a rule was broken'
      echo "2 $bad"
      echo '3 of compare and merge: some cells could not run'
      ;;
    *)
      echo '0 it was printed'
      echo "2 $bad"
      ;;
  esac
}

# Text as roff has it.
roff() {
  sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^[.']/\\\\\\&&/"
}

# more SUBCOMMAND: what help2man adds to what the help says.
more() {
  local page
  if [[ -z $1 ]]; then
    echo '[SUBCOMMANDS]'
    sed 's/^\([a-z]*\) \(.*\)/.TP\n.BR twostep\\-\1 (1)\n\2/' "$work/subcommands"
  fi
  echo '[EXAMPLES]'
  echo '.nf'
  # The help ends with them; those of the root with a word on the others.
  sed -n '/^Example: /,$p' "$work/help" | grep -v '^Each ' |
    sed -e 's/^Example: //' -e 's/^ \{9\}//' | roff
  echo '.fi'
  echo '[EXIT STATUS]'
  exit_status "$1" | roff | sed 's/^\([0-9]\) /.TP\n\1\n/'
  echo '[SEE ALSO]'
  for page in $pages; do
    [[ $page == "twostep${1:+-$1}" ]] || printf '.BR %s (1),\n' "${page//-/\\-}"
  done
  echo "the guides in $guides, compressed where they are long" | roff
}

# page NAME SUMMARY [SUBCOMMAND]
page() {
  # With headings where help2man looks for them, and guides where they are.
  "$twostep" ${3:+"$3"} --help >"$work/help"
  sed -e '/^Example: /,$d' -e '/^Subcommands:$/,/^Options:$/{/^Options:$/!d}' \
    -e 's/^Options:$/\nOptions:/' -e "s|docs/\\([a-z-]*\\.md\\)|$guides/\\1|" \
    "$work/help" >"$work/shown"
  more "${3-}" >"$work/more"
  # help2man names a page after the program, which it asks for both.
  help2man --no-info --name="$2" --include="$work/more" "$work/twostep" |
    sed -e "s/^\\.TH TWOSTEP /.TH ${1^^} /" \
      -e "s/^twostep \\\\- /${1//-/\\\\-} \\\\- /" >"$folder/$1.1"
}

mkdir -p "$folder"
"$twostep" --version >"$work/version"
cat >"$work/twostep" <<'END'
#!/bin/sh
if [ "$1" = --version ]; then cat "${0%/*}/version"; else cat "${0%/*}/shown"; fi
END
chmod +x "$work/twostep"
"$twostep" --help |
  sed -n '/^Subcommands:/,/^Options:/s/^  \([a-z]\+\)  *\(.*\)/\1 \2/p' \
    >"$work/subcommands"
pages="twostep $(sed 's/^\([a-z]*\).*/twostep-\1/' "$work/subcommands" | tr '\n' ' ')"
page twostep "buffer objects that reach a device in two steps"
while read -r name summary; do
  page "twostep-$name" "$summary" "$name"
done <"$work/subcommands"
