// The page at / of the admin port: page.html, put into the program at build time by embed_page.py.
#pragma once
#include <string_view>

namespace huntd {

extern const std::string_view admin_page;

}  // namespace huntd
