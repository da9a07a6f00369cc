#!/usr/bin/env bash
# Installs what some tests use beside Go: mkfs.ext4 for small disks, unzip as a second
# opinion on archives, systemd-journal-remote to make real journal files. Without root or
# apt-get it only says what is missing; the tests that need it are left out and say so.
set -euo pipefail

missing=()
command -v mkfs.ext4 >/dev/null || [ -x /usr/sbin/mkfs.ext4 ] || missing+=(e2fsprogs)
command -v unzip >/dev/null || missing+=(unzip)
[ -x /lib/systemd/systemd-journal-remote ] || missing+=(systemd-journal-remote)
command -v journalctl >/dev/null || missing+=(systemd)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "left out: tests that need ${missing[*]} (as root on Debian or Ubuntu they are installed)"
  exit 0
fi
echo "installing for the tests: ${missing[*]}"
log=$(mktemp)
if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log"
  echo "could not install ${missing[*]}: the tests that need them are left out"
fi
rm -f "$log"
