// SPDX-License-Identifier: Apache-2.0
// Why Redis can't be used, for operators: the text of the system or of Redis, with what it means.
#pragma once
#include <string>
#include <string_view>

namespace huntd::server {

// "WORDS (ERROR)": nothing listens, timed out, no password, a wrong one, loading, …; `error` itself if its
// meaning is not known. Two errors with different remedies have different words.
std::string redis_fault_in_words(std::string_view error);
// Whether Redis rejected the login, or asked for one.
bool is_login_rejection(std::string_view error);

}  // namespace huntd::server
