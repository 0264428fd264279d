// SPDX-License-Identifier: Apache-2.0
// An SVG picture in one file of its own: rectangles, lines and words.
#pragma once
#include <string>
#include <string_view>

namespace huntd::huntctl {

// XML 1.0 section 2.4. What its section 2.2 does not allow becomes U+FFFD: control characters,
// U+FFFE, U+FFFF and each byte that is not UTF-8.
std::string xml_text(std::string_view text);

// Lengths are in SVG units (pixels at its natural size); `style` is attributes.
class SvgPicture {
 public:
  void rect(double x, double y, double w, double h, std::string_view style);
  void line(double x1, double y1, double x2, double y2, std::string_view style);
  void words(double x, double y, std::string_view style, std::string_view text);
  // The whole file; `label` is what a screen reader says.
  std::string finish(double width, double height, std::string_view label) const;

 private:
  std::string text_;
};

}  // namespace huntd::huntctl
