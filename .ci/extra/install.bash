# To be sourced: installs Debian packages where they are missing, and fails where that cannot be done.

fail() { echo "$*" >&2; exit 1; }

apt_updated=""
install() { # PACKAGE...
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || fail "missing: $*; install these packages, or run as a user who may"
    root=(sudo -n)
  fi
  command -v apt-get >/dev/null || fail "missing: $*; there is no apt-get to install these packages with"
  if [ -z "$apt_updated" ]; then
    "${root[@]}" apt-get update -qq || fail "missing: $*; apt-get update failed"
    apt_updated=1
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || fail "cannot install $*"
}
