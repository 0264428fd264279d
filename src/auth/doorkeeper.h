// Who may call: says of one request's Authorization header whether it may act for one hunter. What
// it compares it compares in constant time. No I/O.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "auth/hunter_token.h"
#include "auth/secrets.h"
#include "base/limits.h"

namespace huntd {

class Doorkeeper {
 public:
  explicit Doorkeeper(const Secrets& secrets);

  enum class Verdict : uint8_t {
    welcome,
    no_token,      // there is none, or not of the scheme Bearer
    bad_token,     // not one of ours
    expired,       // ours once
    other_hunter,  // a good one of another hunter's
  };
  // `authorization` is the header's value, empty where there is none; `hunter_id` is whom the
  // request is for, empty where it is for none.
  Verdict check(std::string_view authorization, std::string_view hunter_id, int64_t wall_ms) const;
  // The same for what no single hunter may do: any hunter's token is other_hunter.
  Verdict check_for_all(std::string_view authorization, int64_t wall_ms) const;

 private:
  // A token with zeros behind it, so that each comparison takes as long as any other.
  using Padded = std::array<char, limits::secret_bytes_max>;

  bool knows(std::string_view token) const;
  Verdict check_hunter(std::string_view text, std::string_view hunter_id, int64_t wall_ms) const;

  AuthMode mode_;
  std::vector<Padded> tokens_;
  std::vector<SigningKey> keys_;
};

}  // namespace huntd
