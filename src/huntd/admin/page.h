// SPDX-License-Identifier: Apache-2.0
// The page at / of the admin port: page.html, which embed_page.py compiles into the program.
#pragma once
#include <string_view>

namespace huntd::server {

extern const std::string_view admin_page;

}  // namespace huntd::server
