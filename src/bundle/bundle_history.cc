// SPDX-License-Identifier: Apache-2.0
#include "bundle/bundle_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json_text.h"
#include "base/read_text.h"

namespace huntd {
namespace {

constexpr std::string_view first_line = "huntd bundles 1";
constexpr size_t name_bytes = 32;
constexpr size_t fields_of_record = 6;

bool is_bundle_name(std::string_view text) {
  return text.size() == name_bytes &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 1);
  }
  return parts;
}

bool read_record(std::string_view line, BundleRecord& record) {
  std::vector<std::string_view> const fields = split(line, '\t');
  if (fields.size() != fields_of_record || !is_bundle_name(fields[0])) return false;
  auto const at_ms = read_number<int64_t>(fields[1]);
  auto const hunts = read_number<uint64_t>(fields[2]);
  auto const served = read_number<uint64_t>(fields[3]);
  if (!at_ms || !hunts || !served) return false;
  record = {std::string(fields[0]), *at_ms, std::string(fields[4]),
            std::string(fields[5]), *hunts, *served};
  return true;
}

// "live NAME deployed", "live NAME folder" or "live - folder".
bool read_live(std::string_view line, BundleHistory& history) {
  std::vector<std::string_view> const words = split(line, ' ');
  if (words.size() != 3 || words[0] != "live") return false;
  if (words[2] != "deployed" && words[2] != "folder") return false;
  history.deployed = words[2] == "deployed";
  if (is_bundle_name(words[1])) history.live = words[1];
  return words[1] == "-" ? !history.deployed : !history.live.empty();
}

}  // namespace

std::string printable_name(std::string_view text, size_t bytes_max) {
  std::string name(text.substr(0, bytes_max));
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return name;
}

const BundleRecord* BundleHistory::find(std::string_view name) const {
  auto const found =
      std::find_if(records.begin(), records.end(),
                   [name](const BundleRecord& record) { return record.name == name; });
  return found == records.end() ? nullptr : &*found;
}

BundleRecord* BundleHistory::find(std::string_view name) {
  return const_cast<BundleRecord*>(std::as_const(*this).find(name));
}

void BundleHistory::put_live(BundleRecord record, bool is_deployed) {
  bool const same = !is_deployed && !deployed && record.name == live && find(live) != nullptr;
  deployed = is_deployed;
  if (same) return;
  // After a rollback, the scripts that were left are above the live ones, and stay behind both.
  if (const BundleRecord* const left = find(live)) {
    auto const at = records.begin() + (left - records.data());
    std::rotate(records.begin(), at, at + 1);
  }
  live = record.name;
  if (const BundleRecord* const earlier = find(record.name)) {
    record.served = earlier->served;
    records.erase(records.begin() + (earlier - records.data()));
  }
  records.insert(records.begin(), std::move(record));
  if (records.size() > kept_bundles_max) records.resize(kept_bundles_max);
}

void BundleHistory::go_back(std::string_view name) {
  live = name;
  deployed = true;
}

const BundleRecord* BundleHistory::before_live() const {
  const BundleRecord* const now = find(live);
  if (now == nullptr || now == &records.back()) return nullptr;
  return now + 1;
}

std::string history_text(const BundleHistory& history) {
  std::string text =
      fmt::format("{}\nlive {} {}\n", first_line, history.live.empty() ? "-" : history.live,
                  history.deployed ? "deployed" : "folder");
  for (const BundleRecord& record : history.records)
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", record.name, record.at_ms, record.hunts,
                        record.served, printable_name(record.by, deploy_by_bytes_max),
                        printable_name(record.from, deploy_from_bytes_max));
  return text;
}

Result<BundleHistory> history_of(std::string_view text) {
  BundleHistory history;
  size_t number = 0;
  while (!text.empty()) {
    size_t const end = std::min(text.find('\n'), text.size());
    std::string_view const line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    BundleRecord record;
    bool const right = number == 1   ? line == first_line
                       : number == 2 ? read_live(line, history)
                                     : read_record(line, record);
    if (!right || history.records.size() > kept_bundles_max)
      return Error{fmt::format("line {} is not one of a history of bundles", number)};
    if (number > 2) history.records.push_back(std::move(record));
  }
  if (number < 2) return Error{"it is not a history of bundles"};
  return history;
}

std::string history_json(const BundleHistory& history) {
  std::string json = R"({"bundles":[)";
  for (const BundleRecord& record : history.records) {
    if (json.back() != '[') json += ',';
    json += fmt::format(R"({{"bundle":"{}","at_ms":{},"hunts":{},"served":{},"live":{},"by":)",
                        record.name, record.at_ms, record.hunts, record.served,
                        record.name == history.live);
    append_json_string(json, record.by);
    json += R"(,"from":)";
    append_json_string(json, record.from);
    json += '}';
  }
  return json + fmt::format(R"(],"deployed":{}}})", history.deployed);
}

}  // namespace huntd
