# SPDX-License-Identifier: GPL-3.0-or-later
# Of a preprocessed C file (`cc -E`), the tokens that come from the project's own files: no system
# header, no registry (*.def), no white space. Equal outputs compute the same.
/^# [0-9]+ "/ {
    split($0, part, "\"")
    own = part[2] !~ /^[\/<]/ && part[2] !~ /\.def$/
    next
}
own { gsub(/[ \t]+/, ""); if ($0 != "") print }
