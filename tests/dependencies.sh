#!/bin/sh
# Installs what building and testing gradc need, from Debian 12's own packages. Asks for nothing when all is there.
#   sh tests/dependencies.sh build   what a user needs to build
#   sh tests/dependencies.sh test    that, and what the test suite needs
set -eu
build="g++ cmake ninja-build git llvm-19-dev lld-19 libfmt-dev libcli11-dev nlohmann-json3-dev zlib1g-dev libzstd-dev ccache ca-certificates"
test="$build catch2 libmpfr-dev clang-19 python3 python3-numpy libclang-rt-19-dev dataset-fashion-mnist miscfiles valgrind"
case "${1:-build}" in
  test) wanted=$test ;;
  *) wanted=$build ;;
esac
missing=""
for package in $wanted; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "gradc: installing$missing" >&2
as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "gradc: not root and no sudo here; install by hand:$missing" >&2; exit 3; }
  as_root=sudo
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
