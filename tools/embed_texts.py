# SPDX-License-Identifier: Apache-2.0
"""Makes a .cc with the texts of files: embed_texts.py OUTPUT HEADER NAMESPACE NAME=FILE ...

HEADER declares `extern const std::string_view NAME` of each in NAMESPACE.
"""
import pathlib
import sys

DELIMITER = "text"  # of the raw strings
PIECE_CHARACTERS = 8000  # compilers limit the length of a literal


def literal(text: str) -> str:
    if f"){DELIMITER}\"" in text:
        sys.exit("a text contains the raw string's delimiter")
    pieces = [text[at:at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)] or [""]
    return "\n".join(f'R"{DELIMITER}({piece}){DELIMITER}"' for piece in pieces)


def main() -> None:
    output, header, namespace, *texts = sys.argv[1:]
    source = f'#include "{header}"\n\nnamespace {namespace} {{\n'
    for name, file in (text.split("=", 1) for text in texts):
        source += f"const std::string_view {name} =\n{literal(pathlib.Path(file).read_text(encoding='utf-8'))};\n"
    pathlib.Path(output).write_text(source + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
