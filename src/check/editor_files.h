// SPDX-License-Identifier: Apache-2.0
// What editors have to know to complete and check scripts, written from the names of lua_names.h.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace huntd::check {

struct EditorFile {
  std::string name;  // below the folder of the scripts
  std::string text;
};

// In the first line of each file: it may be written again.
inline constexpr std::string_view editor_mark = "Written by huntctl editor";

// .luacheckrc for luacheck; .luarc.json and .luals/hunt.lua for the Lua language server (LuaLS). huntd
// takes none of them for a hunt: their names begin with a dot.
std::vector<EditorFile> editor_files();

}  // namespace huntd::check
