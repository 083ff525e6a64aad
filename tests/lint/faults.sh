#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every fault of tests/gate_faults.txt and every mutation of tests/mutations.txt still finds the line
# that it changes: both are run too rarely to notice that a line has moved on.
set -eu
cd "$(dirname "$0")/../.."
bad=0
say() { echo "$*" >&2; bad=1; }
while read -r kind name file expression; do
    case $kind in '' | '#'*) continue ;; esac
    sed -E "$expression" "$file" | cmp -s - "$file" &&
        say "tests/gate_faults.txt: $name: expected a line of $file that its expression changes"
done <tests/gate_faults.txt
while IFS=$'\t' read -r file from to; do
    case $file in '' | '#'*) continue ;; esac
    grep -qF -- "$from" "$file" || say "tests/mutations.txt: $file: expected a line with: $from"
done <tests/mutations.txt
exit $bad
