// SPDX-License-Identifier: Apache-2.0
#include "requests.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>

#include "base/check.h"

namespace huntd::load {
namespace {

constexpr size_t key_digits = 16;

// Two runs with the same seed must not share keys: huntd would replay its stored responses.
std::string run_name() {
  uint64_t drawn = 0;
  CHECK(getrandom(&drawn, sizeof drawn, 0) == static_cast<ssize_t>(sizeof drawn));
  return fmt::format("{:016x}", drawn);
}

std::string with_hunter(std::string path, std::string_view hunter) {
  constexpr std::string_view placeholder = "{hunter}";
  size_t const at = path.find(placeholder);
  return at == path.npos ? path : path.replace(at, placeholder.size(), hunter);
}

void write_hex(char* into, uint64_t number) {
  for (size_t i = key_digits; i-- > 0; number >>= 4) into[i] = "0123456789abcdef"[number & 0xf];
}

}  // namespace

Requests::Requests(const Options& options)
    : shapes_(std::max<size_t>(1, options.hunts.size())), keys_(options.keys) {
  std::string const run = run_name();
  bool const sends_length =
      options.method.empty() || options.method != "GET" || !options.body.empty();
  texts_.reserve(shapes_ * options.connections);
  for (uint32_t connection = 0; connection < options.connections; ++connection) {
    std::string const hunter = fmt::format("h{}-{}", options.seed, connection % options.hunters);
    for (size_t shape = 0; shape < shapes_; ++shape) {
      std::string text =
          options.hunts.empty()
              ? fmt::format("{} {}", options.method, with_hunter(options.path, hunter))
              : fmt::format("POST /v1/hunts/{}/hunters/{}", options.hunts[shape], hunter);
      text += fmt::format(" HTTP/1.1\r\nHost: {}\r\n", options.target);
      if (!options.body.empty()) text += "Content-Type: application/json\r\n";
      if (sends_length) text += fmt::format("Content-Length: {}\r\n", options.body.size());
      if (keys_) {
        text += fmt::format("Idempotency-Key: {}-", run);
        key_offsets_.push_back(text.size());
        text.append(key_digits, '0').append("\r\n");
      }
      texts_.push_back(text.append("\r\n").append(options.body));
    }
  }
}

std::string_view Requests::next(uint32_t connection, uint64_t nth) {
  // Shifted by the connection, so that the hunts are mixed at any moment.
  size_t const which = connection * shapes_ + (connection + nth) % shapes_;
  if (keys_) write_hex(texts_[which].data() + key_offsets_[which], keys_used_++);
  return texts_[which];
}

std::string_view Requests::again(uint32_t connection, uint64_t nth) const {
  return texts_[connection * shapes_ + (connection + nth) % shapes_];
}

}  // namespace huntd::load
