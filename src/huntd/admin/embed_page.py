# SPDX-License-Identifier: Apache-2.0
"""Makes one file of the page: embed_page.py PAGE.html OUTPUT, where OUTPUT is a .cc with its bytes, or a .html.

Its style sheet and scripts, which PAGE.html names, are put in their places, without indentation and comment lines: the page needs
nothing else from any address. So no text in them may have more than one line.
"""
import pathlib
import re
import sys

PAGE_BYTES_MAX = 48 * 1024
DELIMITER = "page"  # of the raw strings


def shortened(text: str) -> str:
    lines = (line.strip() for line in re.sub(r"/\*.*?\*/", "", text, flags=re.S).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def whole_page(html: pathlib.Path) -> str:
    def put_in(found: re.Match, tag: str) -> str:
        return f"<{tag}>\n{shortened((html.parent / found[1]).read_text(encoding='utf-8'))}\n</{tag}>"

    page = html.read_text(encoding="utf-8")
    page = re.sub(r'<link rel="stylesheet" href="([\w.]+)">', lambda found: put_in(found, "style"), page)
    page = re.sub(r'<script src="([\w.]+)"></script>', lambda found: put_in(found, "script"), page)
    if len(page.encode()) > PAGE_BYTES_MAX:
        sys.exit(f"{html}: the page has {len(page.encode())} bytes, and {PAGE_BYTES_MAX} are allowed")
    return page


def as_source(page: str) -> str:
    if f"){DELIMITER}\"" in page:
        sys.exit("the page contains the raw string's delimiter")
    # In pieces, since compilers limit the length of a literal.
    literals = "\n".join(f'R"{DELIMITER}({page[at:at + 8000]}){DELIMITER}"' for at in range(0, len(page), 8000))
    return f'#include "huntd/admin/page.h"\n\nnamespace huntd::server {{\nconst std::string_view admin_page =\n{literals};\n}}\n'


if __name__ == "__main__":
    page, output = whole_page(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])
    output.write_text(page if output.suffix == ".html" else as_source(page), encoding="utf-8")
