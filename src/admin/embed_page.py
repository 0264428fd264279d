"""Writes a C++ file that holds a page's bytes: embed_page.py PAGE.html PAGE.cc"""
import pathlib
import sys

page = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
delimiter = "page"
if f"){delimiter}\"" in page:
    sys.exit(f"{sys.argv[1]} contains the raw string's delimiter")
# Pieces, since compilers bound the length of one literal.
pieces = [page[at:at + 8000] for at in range(0, len(page), 8000)]
literals = "\n".join(f'R"{delimiter}({piece}){delimiter}"' for piece in pieces)
pathlib.Path(sys.argv[2]).write_text(
    f'#include "admin/page.h"\n\nnamespace huntd {{\nconst std::string_view admin_page =\n{literals};\n}}\n',
    encoding="utf-8")
