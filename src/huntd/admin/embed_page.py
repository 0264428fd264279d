# SPDX-License-Identifier: Apache-2.0
"""Writes a C++ file with the bytes of a page: embed_page.py PAGE.html PAGE.cc"""
import pathlib
import sys

page = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
delimiter = "page"
if f"){delimiter}\"" in page:
    sys.exit(f"{sys.argv[1]} contains the raw string's delimiter")
# In pieces, since compilers limit the length of a literal.
pieces = [page[at:at + 8000] for at in range(0, len(page), 8000)]
literals = "\n".join(f'R"{delimiter}({piece}){delimiter}"' for piece in pieces)
pathlib.Path(sys.argv[2]).write_text(
    f'#include "huntd/admin/page.h"\n\nnamespace huntd::server {{\nconst std::string_view admin_page =\n{literals};\n}}\n',
    encoding="utf-8")
