// SPDX-License-Identifier: Apache-2.0
#include "chance/seed_secrets.h"

#include <fmt/format.h>

#include <charconv>

#include "base/ids.h"
#include "base/limits.h"
#include "base/private_file.h"
#include "wire/redis_keys.h"

namespace huntd {
namespace {

constexpr size_t number_digits_max = 6;

// The number of a secret, which is its field's name; 0 if `field` is not one.
uint32_t number_of(std::string_view field) {
  if (field.empty() || field.size() > number_digits_max || field.front() == '0') return 0;
  uint32_t number = 0;
  auto const [end, error] = std::from_chars(field.data(), field.data() + field.size(), number);
  return error == std::errc() && end == field.data() + field.size() ? number : 0;
}

bool is_secret(std::string_view text) {
  return text.size() >= limits::secret_bytes_min && text.size() <= limits::secret_bytes_max &&
         is_visible_ascii(text);
}

}  // namespace

Result<void> SeedSecrets::add(std::string_view field, std::string_view value) {
  uint32_t const number = number_of(field);
  if (number == 0 || !is_secret(value))
    return Error{fmt::format(
        "a field of {} is malformed: its name must be a number of at most {} digits, "
        "its value {} to {} visible ASCII characters",
        keys::seed_secret, number_digits_max, limits::secret_bytes_min, limits::secret_bytes_max)};
  by_number_[number] = value;
  return {};
}

std::string SeedSecrets::newest() const {
  return by_number_.empty() ? std::string() : by_number_.rbegin()->second;
}

std::string SeedSecrets::numbered(uint32_t number) const {
  auto const at = by_number_.find(number);
  return at == by_number_.end() ? std::string() : at->second;
}

Result<std::string> read_seed_secret_file(const std::string& file) {
  constexpr const char* key = "hunts.seed_secret_file";
  Result<std::string> secret = read_secret(file, key);
  if (secret && !is_secret(*secret))
    return Error{
        fmt::format("{}: the first line of {} must be {} to {} visible ASCII characters, "
                    "for example from `openssl rand -hex 32`",
                    key, file, limits::secret_bytes_min, limits::secret_bytes_max)};
  return secret;
}

}  // namespace huntd
