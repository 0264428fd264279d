// SPDX-License-Identifier: Apache-2.0
#include "metrics/reload_status.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

#include "base/read_text.h"

namespace huntd {
namespace {

constexpr int tries_max = 100;
constexpr std::string_view cut_mark = "\n[truncated: the log has all]";

// "-" stands for an empty word.
std::string word_of(const std::string& text) { return text.empty() ? "-" : text; }

// With commas between them, as many as fit; a key has no space and no comma.
std::string text_of(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) {
    if (text.size() + 1 + key.size() > reload_waiting_bytes_max) break;
    text += (text.empty() ? "" : ",") + key;
  }
  return text;
}

std::vector<std::string> keys_of(std::string_view text) {
  std::vector<std::string> keys;
  while (!text.empty()) {
    size_t const comma = std::min(text.find(','), text.size());
    keys.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return keys;
}

template <class Number>
void take(std::string_view& text, Number& number) {
  number = read_number<Number>(take_word(text)).value_or(0);
}

}  // namespace

// As text, since a reader then sees one version of all of it (SharedText).
void SharedReload::set(const ReloadStatus& status) {
  std::string text = fmt::format("{} {} {} {} {} {} {} {} {} ", status.started, status.finished,
                                 static_cast<unsigned>(status.result), status.at_ms, status.applied,
                                 status.rejected, status.serves_saved ? 1 : 0,
                                 word_of(status.bundle), word_of(text_of(status.waiting_keys)));
  if (status.error.size() <= limits::reload_error_bytes_max)
    text += status.error;
  else
    text.append(status.error, 0, limits::reload_error_bytes_max - cut_mark.size()).append(cut_mark);
  status_.set(text);
}

ReloadStatus SharedReload::get() const {
  // The parent may have been interrupted within set(); before its first one there is no text.
  std::string whole = status_.get();
  for (int tries = 0; whole.empty() && tries < tries_max; ++tries) {
    sched_yield();
    whole = status_.get();
  }
  std::string_view text = whole;
  ReloadStatus status;
  unsigned result = 0;
  unsigned serves_saved = 0;
  take(text, status.started);
  take(text, status.finished);
  take(text, result);
  if (result < reload_result_names.size()) status.result = static_cast<ReloadResult>(result);
  take(text, status.at_ms);
  take(text, status.applied);
  take(text, status.rejected);
  take(text, serves_saved);
  status.serves_saved = serves_saved != 0;
  status.bundle = take_word(text);
  if (status.bundle == "-") status.bundle.clear();
  if (std::string_view const keys = take_word(text); keys != "-")
    status.waiting_keys = keys_of(keys);
  status.error = text;
  return status;
}

}  // namespace huntd
