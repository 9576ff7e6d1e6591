#!/bin/sh
# Installs the software-OpenGL libraries that rendering needs, where they are missing.
# Without permission it says what to run, and goes on: only rendering needs them.
[ "$(uname -s)" = Linux ] || exit 0
libraries=$(/sbin/ldconfig -p 2>/dev/null)
for library in libEGL.so libOSMesa.so; do
    case $libraries in *"$library"*) ;; *) missing=yes ;; esac
done
[ -n "${missing:-}" ] || exit 0
sh "$(dirname "$0")/apt_install.sh" libegl1 libgl1 libgl1-mesa-dri libosmesa6 || exit 0
