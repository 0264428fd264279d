// SPDX-License-Identifier: Apache-2.0
#include "huntctl/svg_picture.h"

#include <fmt/format.h>

#include <iterator>

#include "base/utf8.h"

namespace huntd::huntctl {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD

// Of one character, as UTF-8.
std::string_view xml_character(std::string_view character) {
  if (character == "\xef\xbf\xbe" || character == "\xef\xbf\xbf") return replacement;
  if (character.size() > 1) return character;
  switch (character.front()) {
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '&':
      return "&amp;";
    case '"':
      return "&quot;";
    case '\n':
    case '\t':
      return character;
    default:
      return static_cast<unsigned char>(character.front()) < 0x20 ? replacement : character;
  }
}

}  // namespace

std::string xml_text(std::string_view text) {
  std::string escaped;
  while (!text.empty()) {
    size_t const bytes = utf8_sequence_bytes(text);
    escaped += bytes == 0 ? replacement : xml_character(text.substr(0, bytes));
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return escaped;
}

void SvgPicture::rect(double x, double y, double w, double h, std::string_view style) {
  fmt::format_to(std::back_inserter(text_),
                 "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" {}/>\n", x, y,
                 w, h, style);
}

void SvgPicture::line(double x1, double y1, double x2, double y2, std::string_view style) {
  fmt::format_to(std::back_inserter(text_),
                 "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2,
                 y2, style);
}

void SvgPicture::words(double x, double y, std::string_view style, std::string_view text) {
  fmt::format_to(std::back_inserter(text_), "<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y,
                 style, xml_text(text));
}

std::string SvgPicture::finish(double width, double height, std::string_view label) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"12\" "
      "role=\"img\" aria-label=\"{2}\">\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" rx=\"10\" fill=\"#ffffff\"/>\n{3}</svg>\n",
      width, height, xml_text(label), text_);
}

}  // namespace huntd::huntctl
