// HTTP/1.1 answers, bytes to facts, as far as a load generator needs them: status, length, whether
// the connection lives on, and how much loot the body tells. Incremental: an answer may come in any
// pieces, and several may come together.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace huntd::load {

inline constexpr size_t answer_head_bytes_max = 16 * 1024;
inline constexpr uint64_t answer_body_bytes_max = uint64_t{1} << 30;

// One answer that has come whole.
struct Answer {
  int status = 0;
  bool keep_alive = true;
  uint64_t events = 0;  // how often the body says "event_id"
};

// Counts a text in bytes that come in pieces, whatever the pieces are.
class EventCounter {
 public:
  void clear() { *this = {}; }
  void read(std::string_view bytes);
  uint64_t count() const { return count_; }

 private:
  static constexpr std::string_view wanted = "\"event_id\"";
  uint64_t count_ = 0;
  std::array<char, wanted.size() - 1> tail_{};  // the end of what came so far
  size_t tail_bytes_ = 0;
};

class AnswerReader {
 public:
  enum class Status { done, need_more, bad };

  // Takes what belongs to the next answer from the front of `bytes`. done: answer() is that one,
  // and what is left in `bytes` belongs to the next. bad: bad() says why, and the connection can't
  // go on, for where the next answer begins is not known.
  Status read(std::string_view& bytes);
  const Answer& answer() const { return answer_; }
  const char* bad() const { return bad_; }
  // For a new connection.
  void clear();

 private:
  enum class Part { status_line, fields, body };

  Status refuse(const char* why);
  Status read_line(std::string_view line);
  Status read_status_line(std::string_view line);
  Status read_field(std::string_view line);
  Status end_head();
  Status read_body(std::string_view& bytes);

  Part part_ = Part::status_line;
  std::string line_;  // a line whose end has not come
  size_t head_bytes_ = 0;
  bool has_length_ = false;
  uint64_t body_left_ = 0;
  EventCounter events_;
  Answer answer_;
  const char* bad_ = "";
};

}  // namespace huntd::load
