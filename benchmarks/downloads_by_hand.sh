#!/bin/sh
# What people type instead: all files at the same time by curl, checked and unpacked. downloads_by_hand.sh FOLDER, and
# a line for each file on standard input: its URL, its sha256, its name, and how it is unpacked (none, zip, tar).
set -eu
cd "$1"
while read -r url sum name how; do
  {
    curl --fail --silent --show-error --location --output "$name" "$url"
    echo "$sum  $name" | sha256sum --check --quiet
    case $how in
      zip) python3 -m zipfile --extract "$name" "$name.d" ;;
      tar) mkdir "$name.d" && tar -xzf "$name" -C "$name.d" ;;
    esac
  } &
done
wait
