// SPDX-License-Identifier: Apache-2.0
#include "huntctl/svg_picture.h"

#include <fmt/format.h>

#include <iterator>

namespace huntd::huntctl {

std::string xml_text(std::string_view text) {
  std::string escaped;
  for (char const c : text) {
    bool const control = static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t';
    if (c == '<')
      escaped += "&lt;";
    else if (c == '&')
      escaped += "&amp;";
    else if (c == '"')
      escaped += "&quot;";
    else if (control)
      escaped += "\xef\xbf\xbd";
    else
      escaped += c;
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
