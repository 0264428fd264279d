// SPDX-License-Identifier: Apache-2.0
// Parses HTTP/1.1 responses as far as a load generator needs: status, length, keep-alive, and the
// number of awards in the body. Incremental: a response may arrive in any pieces, and several may
// arrive together.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace huntd::load {

inline constexpr size_t response_head_bytes_max = 16 * 1024;
inline constexpr uint64_t response_body_bytes_max = uint64_t{1} << 30;

// One complete response.
struct Response {
  int status = 0;
  bool keep_alive = true;
  uint64_t events = 0;  // occurrences of "event_id" in the body
};

// Counts occurrences of a text in bytes that arrive in pieces.
class EventCounter {
 public:
  void clear() { *this = {}; }
  void read(std::string_view bytes);
  uint64_t count() const { return count_; }

 private:
  static constexpr std::string_view wanted = "\"event_id\"";
  uint64_t count_ = 0;
  std::array<char, wanted.size() - 1> tail_{};  // the last bytes so far
  size_t tail_bytes_ = 0;
};

class ResponseReader {
 public:
  enum class Status { done, need_more, bad };

  // Removes the bytes of the next response from the front of `bytes`. done: response() is complete,
  // and the remaining bytes belong to the next. bad: bad() is the reason, and the connection must
  // be closed, since the start of the next response is unknown.
  Status read(std::string_view& bytes);
  const Response& response() const { return response_; }
  const char* bad() const { return bad_; }
  // Whether a part of a response has been read, and the rest is to come.
  bool in_response() const { return part_ != Part::status_line || !line_.empty(); }
  // For a new connection.
  void clear();

 private:
  enum class Part { status_line, fields, body };

  Status fail(const char* reason);
  Status read_line(std::string_view line);
  Status read_status_line(std::string_view line);
  Status read_field(std::string_view line);
  Status end_head();
  Status read_body(std::string_view& bytes);

  Part part_ = Part::status_line;
  std::string line_;  // an incomplete line
  size_t head_bytes_ = 0;
  bool has_length_ = false;
  uint64_t body_left_ = 0;
  EventCounter events_;
  Response response_;
  const char* bad_ = "";
};

}  // namespace huntd::load
