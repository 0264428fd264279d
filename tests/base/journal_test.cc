// SPDX-License-Identifier: Apache-2.0
// Entries as the journal reads them, from a socket in its place.
#include "base/journal.h"

#include <doctest/doctest.h>
#include <endian.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "base/limits.h"
#include "base/log.h"
#include "base/log_sink.h"
#include "base/unique_fd.h"

namespace huntd::log {
namespace {

using Fields = std::map<std::string, std::string>;

// As the journal parses an entry; nothing if it is malformed.
std::optional<Fields> parse(std::string_view entry) {
  Fields fields;
  while (!entry.empty()) {
    size_t const end = entry.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view const line = entry.substr(0, end);
    size_t const equals = line.find('=');
    entry.remove_prefix(end + 1);
    if (equals != std::string_view::npos) {
      fields.emplace(line.substr(0, equals), line.substr(equals + 1));
      continue;
    }
    uint64_t bytes = 0;
    if (entry.size() < sizeof bytes) return std::nullopt;
    std::memcpy(&bytes, entry.data(), sizeof bytes);
    entry.remove_prefix(sizeof bytes);
    bytes = le64toh(bytes);
    if (entry.size() <= bytes || entry[bytes] != '\n') return std::nullopt;
    fields.emplace(line, entry.substr(0, bytes));
    entry.remove_prefix(bytes + 1);
  }
  return fields;
}

// A socket in the place of the journal's.
struct Journal {
  Journal() {
    char name[] = "/tmp/huntd-journal-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder = name;
    path = folder + "/socket";
    bind_again();
  }
  ~Journal() {
    unlink(path.c_str());
    rmdir(folder.c_str());
  }
  void bind_again() {
    unlink(path.c_str());
    socket = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  // The next entry; nothing if there is none.
  std::optional<Fields> next() {
    char buffer[65536];
    ssize_t const got = recv(socket.get(), buffer, sizeof buffer, 0);
    if (got < 0) return std::nullopt;
    std::optional<Fields> fields = parse({buffer, static_cast<size_t>(got)});
    REQUIRE(fields);
    return fields;
  }
  std::string folder;
  std::string path;
  UniqueFd socket;
};

Place place_of(Place at = Place::here()) { return at; }

}  // namespace

TEST_CASE("a place is the one of the caller") {
  Place const place = place_of();
  CHECK(place.line == __LINE__ - 1);
  CHECK(std::string_view(place.file).ends_with("journal_test.cc"));
}

TEST_CASE("an entry has the line as its message, and each field as it is") {
  std::optional<Fields> const fields = parse(
      journal_entry_of(Level::warning, "hunt failed",
                       {{"hunt_id", "camp fire"}, {"status", 500}, {"text", "two\nlines=\"x\""}}));
  REQUIRE(fields);
  CHECK(fields->at("PRIORITY") == "4");
  CHECK(fields->at("MESSAGE") ==
        R"(hunt failed hunt_id="camp fire" status=500 text="two\nlines=\"x\"")");
  CHECK(fields->at("HUNT_ID") == "camp fire");
  CHECK(fields->at("STATUS") == "500");
  CHECK(fields->at("TEXT") == "two\nlines=\"x\"");
  CHECK(fields->at("SYSLOG_IDENTIFIER") == program_invocation_short_name);
}

TEST_CASE("the origin of a process is a field") {
  set_origin("core=1");
  std::optional<Fields> const fields = parse(journal_entry_of(Level::info, "core started"));
  set_origin("");
  REQUIRE(fields);
  CHECK(fields->at("CORE") == "1");
  CHECK(fields->at("MESSAGE") == "core started core=1");
}

TEST_CASE("no value forges a field or a second entry") {
  std::string const forged = "x\nPRIORITY=0\n\nMESSAGE=forged\n";
  std::optional<Fields> const fields =
      parse(journal_entry_of(Level::info, forged, {{"k-e y", forged}}));
  REQUIRE(fields);
  CHECK(fields->at("PRIORITY") == "6");
  CHECK(fields->at("K_E_Y") == forged);
  CHECK(fields->at("MESSAGE").starts_with("x\\nPRIORITY=0"));
  CHECK(fields->size() == 4);
}

TEST_CASE("stderr is the journal if JOURNAL_STREAM names it, and not if it was redirected") {
  Journal const journal;
  struct stat status {};
  REQUIRE(fstat(journal.socket.get(), &status) == 0);
  std::string const stream = fmt::format("{}:{}", status.st_dev, status.st_ino);
  CHECK(is_journal(journal.socket.get(), stream.c_str()));
  CHECK_FALSE(is_journal(STDERR_FILENO, stream.c_str()));
  CHECK_FALSE(is_journal(journal.socket.get(), nullptr));
  CHECK_FALSE(is_journal(journal.socket.get(), ""));
  CHECK_FALSE(is_journal(-1, stream.c_str()));
}

TEST_CASE("a journal that is not there is not used") {
  Sink sink(STDERR_FILENO);
  CHECK_FALSE(sink.use_journal("/nonexistent/socket"));
  CHECK_FALSE(sink.use_journal(std::string(200, 'x').c_str()));
}

TEST_CASE("a journal that does not read makes no writer wait, and gets the rest's number") {
  Journal journal;
  Sink sink(STDERR_FILENO);
  REQUIRE(sink.use_journal(journal.path.c_str()));
  constexpr int entries = 20'000;
  for (int i = 0; i < entries; ++i)
    sink.write_entry(journal_entry_of(Level::info, "m", {{"number", i}}));
  uint64_t const dropped = sink.dropped();
  CHECK(dropped > 0);
  int got = 0;
  std::string reported;
  uint64_t now_ns = 0;
  for (int turn = 0; turn < 100; ++turn) {
    while (std::optional<Fields> const fields = journal.next()) {
      if (fields->contains("REASON"))
        reported = fields->at("MESSAGE");
      else
        CHECK(fields->at("NUMBER") == std::to_string(got++));
    }
    sink.flush(now_ns += Sink::retry_every_ns);
  }
  CHECK(got == entries - static_cast<int>(dropped));
  CHECK(reported.starts_with(std::to_string(dropped) + " log lines were dropped"));
}

TEST_CASE("a journal whose socket was made again gets the next entry") {
  Journal journal;
  Sink sink(STDERR_FILENO);
  REQUIRE(sink.use_journal(journal.path.c_str()));
  sink.write_entry(journal_entry_of(Level::info, "first"));
  CHECK(journal.next()->at("MESSAGE") == "first");
  journal.socket.reset();
  sink.write_entry(journal_entry_of(Level::info, "meanwhile"));
  journal.bind_again();
  sink.write_entry(journal_entry_of(Level::info, "then"));
  CHECK(journal.next()->at("MESSAGE") == "meanwhile");
  CHECK(journal.next()->at("MESSAGE") == "then");
  CHECK(sink.dropped() == 0);
}

}  // namespace huntd::log
