#!/bin/sh
# Installs Debian packages when permitted; otherwise says in one line what to run.
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo="sudo -n"
    $sudo true 2>/dev/null || sudo=none
fi
if [ "$sudo" = none ] || ! command -v apt-get >/dev/null; then
    echo "Please run: sudo apt-get install $*" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
{ $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends "$@"; } \
    >/dev/null 2>&1 || {
    echo "Could not install them; please run: sudo apt-get install $*" >&2
    exit 1
}
