// SPDX-License-Identifier: Apache-2.0
// What a script can use: the names of `hunt` (wire/script_names.h) and those that stay of Lua.
// tests/check compares both with a real hunt_worker.
#pragma once
#include <span>
#include <string_view>

namespace huntd::check {

std::span<const std::string_view> hunt_functions();
std::span<const std::string_view> hunt_values();
std::span<const std::string_view> hunt_names();  // both
std::span<const std::string_view> award_options();

// The global names that a script has.
std::span<const std::string_view> lua_globals();
// The functions and values in the library, such as "string"; empty: it is not a library.
std::span<const std::string_view> library_names(std::string_view library);

bool contains(std::span<const std::string_view> names, std::string_view name);

// What to use in place of a name that scripts do not have: a function that is removed from Lua, a
// word of another language, or another word for a function of `hunt`. Empty: nothing is known.
std::string_view replacement_of_global(std::string_view name);
std::string_view replacement_of_hunt_name(std::string_view name);

}  // namespace huntd::check
