// SPDX-License-Identifier: Apache-2.0
#include "response.h"

#include <algorithm>
#include <charconv>

namespace huntd::load {
namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Ignores case. REQUIRES: `wanted` is in lower case.
bool same_name(std::string_view text, std::string_view wanted) {
  return std::equal(text.begin(), text.end(), wanted.begin(), wanted.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void EventCounter::read(std::string_view bytes) {
  if (tail_bytes_ > 0) {
    // An occurrence that starts in the tail ends within the next wanted.size() - 1 bytes.
    std::array<char, 2 * (wanted.size() - 1)> seam{};
    size_t const taken = std::min(bytes.size(), tail_.size());
    std::copy_n(tail_.begin(), tail_bytes_, seam.begin());
    std::copy_n(bytes.begin(), taken, seam.begin() + tail_bytes_);
    std::string_view const joined(seam.data(), tail_bytes_ + taken);
    if (joined.find(wanted) < tail_bytes_) ++count_;
  }
  for (size_t at = bytes.find(wanted); at != bytes.npos; at = bytes.find(wanted, at + 1)) ++count_;
  size_t const added = std::min(bytes.size(), tail_.size());
  size_t const kept = std::min(tail_bytes_, tail_.size() - added);
  std::copy_n(tail_.begin() + (tail_bytes_ - kept), kept, tail_.begin());
  std::copy_n(bytes.end() - added, added, tail_.begin() + kept);
  tail_bytes_ = kept + added;
}

void ResponseReader::clear() {
  part_ = Part::status_line;
  line_.clear();
  head_bytes_ = 0;
}

ResponseReader::Status ResponseReader::fail(const char* reason) {
  bad_ = reason;
  return Status::bad;
}

ResponseReader::Status ResponseReader::read(std::string_view& bytes) {
  while (part_ != Part::body) {
    size_t const end = bytes.find('\n');
    size_t const taken = end == bytes.npos ? bytes.size() : end + 1;
    head_bytes_ += taken;
    if (head_bytes_ > response_head_bytes_max) return fail("the head is too long");
    std::string_view line = bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    if (end == bytes.npos || !line_.empty()) {
      line_.append(line);
      line = line_;
    }
    if (end == bytes.npos) return Status::need_more;
    line.remove_suffix(1);
    if (line.empty() || line.back() != '\r') return fail("a line without CRLF");
    line.remove_suffix(1);
    Status const status = read_line(line);
    line_.clear();
    if (status != Status::need_more) return status;
  }
  return read_body(bytes);
}

ResponseReader::Status ResponseReader::read_line(std::string_view line) {
  if (part_ == Part::status_line) return read_status_line(line);
  return line.empty() ? end_head() : read_field(line);
}

ResponseReader::Status ResponseReader::read_status_line(std::string_view line) {
  // "HTTP/1.1 200 OK"; the reason may be missing.
  constexpr std::string_view front = "HTTP/1.";
  if (line.size() < 12 || !line.starts_with(front) || (line[7] != '0' && line[7] != '1') ||
      line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
      line[9] < '1' || line[9] > '5' || (line.size() > 12 && line[12] != ' '))
    return fail("no status line");
  response_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  response_.keep_alive = line[7] == '1';
  has_length_ = false;
  body_left_ = 0;
  part_ = Part::fields;
  return Status::need_more;
}

ResponseReader::Status ResponseReader::read_field(std::string_view line) {
  size_t const colon = line.find(':');
  if (colon == 0 || colon == line.npos) return fail("a field without a name");
  std::string_view const name = line.substr(0, colon);
  std::string_view const value = trimmed(line.substr(colon + 1));
  if (same_name(name, "content-length")) {
    if (has_length_) return fail("Content-Length twice");
    auto const [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), body_left_);
    if (value.empty() || error != std::errc() || end != value.data() + value.size() ||
        body_left_ > response_body_bytes_max)
      return fail("an invalid Content-Length");
    has_length_ = true;
  } else if (same_name(name, "transfer-encoding")) {
    return fail("Transfer-Encoding: only Content-Length is supported");
  } else if (same_name(name, "connection")) {
    if (same_name(value, "close")) response_.keep_alive = false;
    if (same_name(value, "keep-alive")) response_.keep_alive = true;
  }
  return Status::need_more;
}

ResponseReader::Status ResponseReader::end_head() {
  head_bytes_ = 0;
  if (response_.status < 200) {  // an interim response: the final one follows
    if (has_length_) return fail("an interim response with a body");
    part_ = Part::status_line;
    return Status::need_more;
  }
  bool const bodiless = response_.status == 204 || response_.status == 304;
  if (!has_length_ && !bodiless) return fail("no Content-Length");
  if (bodiless) body_left_ = 0;
  events_.clear();
  part_ = Part::body;
  return Status::need_more;
}

ResponseReader::Status ResponseReader::read_body(std::string_view& bytes) {
  std::string_view const body = bytes.substr(0, std::min<uint64_t>(bytes.size(), body_left_));
  bytes.remove_prefix(body.size());
  body_left_ -= body.size();
  if (response_.status == 200) events_.read(body);
  if (body_left_ > 0) return Status::need_more;
  response_.events = events_.count();
  part_ = Part::status_line;
  return Status::done;
}

}  // namespace huntd::load
