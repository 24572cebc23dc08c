# shellcheck shell=bash
# Sourced by ./twostep, ./check and .ci/run: gets the Debian packages of
# packages.txt.

# ensure_packages KIND...: installs what is missing; where that is not possible,
# says what to install and exits 2. One dpkg-query (20 ms) when all is there.
ensure_packages() {
  local kind name why line
  local -A reason=() there=()
  while read -r kind name why; do
    [[ " $* " != *" $kind "* ]] || reason[$name]=$why
  done <"${BASH_SOURCE[0]%/*}/packages.txt"
  while read -r name line; do
    [[ $line != installed ]] || there[$name]=1
  done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' \
    "${!reason[@]}" 2>/dev/null)

  local missing=()
  for name in "${!reason[@]}"; do
    [[ -n ${there[$name]-} ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort)

  local install="apt-get install --no-install-recommends"
  if [[ $EUID -ne 0 ]] || ! type -P apt-get >/dev/null; then
    {
      echo "twostep needs Debian 12 packages that are not installed. Run:"
      echo "  sudo apt-get update && sudo $install ${missing[*]}"
    } >&2
    exit 2
  fi

  local log
  log=$(mktemp "${TMPDIR:-/tmp}/twostep-apt.XXXXXX")
  {
    echo "Installing Debian packages that twostep needs" \
      "(takes a minute or two; log: $log):"
    for name in "${missing[@]}"; do
      printf '  %-20s %s\n' "$name" "${reason[$name]}"
    done
  } >&2
  # A failed update alone is no reason to stop: one dead repository of many, or
  # package lists that are good enough. A root shell got by plain `su` lacks
  # sbin, which dpkg insists on. The lock: fresh machines update themselves.
  if ! (
    export DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin"
    apt-get update || true
    # shellcheck disable=SC2086
    $install --yes -o DPkg::Lock::Timeout=300 "${missing[@]}"
  ) </dev/null >"$log" 2>&1; then
    {
      tail -n 30 "$log"
      echo "apt-get could not install the packages (above: the end of $log)."
      echo "This project is made for Debian 12."
    } >&2
    exit 2
  fi
  rm -f "$log"
}
