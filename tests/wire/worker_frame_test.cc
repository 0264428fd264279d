// SPDX-License-Identifier: Apache-2.0
#include "wire/worker_frame.h"

#include "base/ids.h"
#include "base/limits.h"
#include "http/guarded_bytes.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using namespace huntd;
using huntd::tests::GuardedBytes;

namespace {

wf_text text_of(std::string_view text) { return {text.data(), static_cast<uint32_t>(text.size())}; }
std::string_view view(wf_text text) { return {text.data, text.size}; }

wf_job sample_job() {
  wf_job job{};
  job.flags = WF_JOB_CHECK;
  job.seed[0] = 0x0123456789abcdef;
  job.seed[1] = 0xfedcba9876543210;
  job.now_ms = -1;
  job.memory_bytes = uint64_t{1} << 40;
  job.script_offset = 77;
  job.script_bytes = 88;
  job.image_offset = 4096;
  job.image_bytes = 99;
  job.hunt_id = text_of("north-gate");
  job.hunter_id = text_of("Ada.L_1");
  job.input = text_of(std::string_view("\x01\0\x02", 3));
  return job;
}

wf_outcome sample_outcome() {
  wf_outcome outcome{};
  outcome.status = WF_OK;
  outcome.started_at_ns = 1;
  outcome.vm_ready_at_ns = 2;
  outcome.script_done_at_ns = 3;
  outcome.award_count = 2;
  outcome.awards[0] = {text_of("pearl"), 0, 1};
  outcome.awards[1] = {text_of("ticket"), WF_AWARD_LIMITED, 1};
  outcome.result = text_of("{\"a\":1}");
  outcome.log = text_of("seen\n");
  return outcome;
}

std::string frame_of(const wf_job& job) {
  std::string frame(WF_FRAME_BYTES_MAX, '\0');
  frame.resize(wf_write_job(frame.data(), frame.size(), &job));
  return frame;
}

std::string frame_of(const wf_outcome& outcome) {
  std::string frame(WF_FRAME_BYTES_MAX, '\0');
  frame.resize(wf_write_outcome(frame.data(), frame.size(), &outcome));
  return frame;
}

bool reads_job(std::string_view packet, wf_job* job) {
  wf_reader reader;
  return wf_open(&reader, packet.data(), packet.size()) == WF_JOB && wf_read_job(&reader, job) == 1;
}

bool reads_outcome(std::string_view packet, wf_outcome* outcome) {
  wf_reader reader;
  return wf_open(&reader, packet.data(), packet.size()) == WF_OUTCOME &&
         wf_read_outcome(&reader, outcome) == 1;
}

bool lies_in(wf_text text, std::string_view packet) {
  return text.size == 0 ||
         (text.data >= packet.data() && text.data + text.size <= packet.data() + packet.size());
}

// Returns whether an outcome is within the bounds that its readers rely on.
bool keeps_bounds(const wf_outcome& outcome, std::string_view packet) {
  bool fine = outcome.status <= WF_BAD_JOB && outcome.award_count <= limits::awards_max &&
              outcome.result.size <= limits::result_bytes_max &&
              outcome.reason.size <= limits::reason_bytes_max &&
              outcome.log.size <= limits::log_bytes_max && lies_in(outcome.result, packet) &&
              lies_in(outcome.reason, packet) && lies_in(outcome.log, packet);
  for (uint32_t i = 0; fine && i < outcome.award_count; ++i)
    fine = is_id(view(outcome.awards[i].loot_id)) && lies_in(outcome.awards[i].loot_id, packet);
  return fine;
}

}  // namespace

TEST_CASE("a job is read as it was written") {
  wf_job const written = sample_job();
  wf_job job{};
  std::string const packet = frame_of(written);
  REQUIRE(reads_job(packet, &job));
  CHECK(job.flags == written.flags);
  CHECK(job.seed[0] == written.seed[0]);
  CHECK(job.seed[1] == written.seed[1]);
  CHECK(job.now_ms == written.now_ms);
  CHECK(job.memory_bytes == written.memory_bytes);
  CHECK(job.script_offset == written.script_offset);
  CHECK(job.script_bytes == written.script_bytes);
  CHECK(job.image_offset == written.image_offset);
  CHECK(job.image_bytes == written.image_bytes);
  CHECK(view(job.hunt_id) == "north-gate");
  CHECK(view(job.hunter_id) == "Ada.L_1");
  CHECK(view(job.input) == std::string_view("\x01\0\x02", 3));
}

TEST_CASE("an outcome is read as it was written") {
  std::string const packet = frame_of(sample_outcome());
  wf_outcome outcome{};
  REQUIRE(reads_outcome(packet, &outcome));
  CHECK(outcome.status == WF_OK);
  CHECK(outcome.started_at_ns == 1);
  CHECK(outcome.vm_ready_at_ns == 2);
  CHECK(outcome.script_done_at_ns == 3);
  REQUIRE(outcome.award_count == 2);
  CHECK(view(outcome.awards[0].loot_id) == "pearl");
  CHECK(outcome.awards[0].flags == 0);
  CHECK(view(outcome.awards[1].loot_id) == "ticket");
  CHECK(outcome.awards[1].flags == WF_AWARD_LIMITED);
  CHECK(view(outcome.result) == "{\"a\":1}");
  CHECK(outcome.reason.size == 0);
  CHECK(view(outcome.log) == "seen\n");
}

TEST_CASE("a frame has the bytes of the example in docs/formats/worker-frames.md") {
  std::string packet(64, '\0');
  wf_writer writer = wf_begin(packet.data(), packet.size(), WF_ASK_SUPPLY);
  wf_put_u32(&writer, 1);
  wf_put_text(&writer, "ticket", 6);
  wf_put_u64(&writer, 100);
  packet.resize(wf_end(&writer));
  CHECK(packet == std::string("HUNT"
                              "\x04\x00\x04\x00\x16\x00\x00\x00"
                              "\x01\x00\x00\x00"
                              "\x06\x00\x00\x00ticket"
                              "\x64\x00\x00\x00\x00\x00\x00\x00",
                              34));
}

TEST_CASE("awards of several units, takes and a state are read as they were written") {
  wf_outcome written{};
  written.award_count = 4;
  written.awards[0] = {text_of("gold"), 0, 5};
  written.awards[1] = {text_of("iron"), WF_AWARD_TAKE, 1'000'000};
  written.awards[2] = {text_of("wood"), WF_AWARD_TAKE, 1};
  written.awards[3] = {text_of("gem"), 0, 0};
  written.state = text_of("{}");
  std::string packet = frame_of(written);
  wf_outcome outcome{};
  REQUIRE(reads_outcome(packet, &outcome));
  CHECK(outcome.status == WF_OK);
  CHECK(wf_units(&outcome.awards[0]) == 5);
  CHECK(wf_units(&outcome.awards[1]) == -1'000'000);
  CHECK(wf_units(&outcome.awards[2]) == -1);
  CHECK(wf_units(&outcome.awards[3]) == 1);
  CHECK(view(outcome.state) == "{}");
  // An ordinary outcome has no more bytes than its awards of one unit.
  written.state = {nullptr, 0};
  for (wf_award& award : written.awards) award.units = 1;
  CHECK(packet.size() == frame_of(written).size() + 2 * 4 + 4 + 2);
}

TEST_CASE("units that no script can ask for are malformed") {
  wf_outcome outcome{};
  outcome.award_count = 1;
  auto const with = [&](uint8_t flags, uint32_t units) {
    outcome.awards[0] = {text_of("gold"), flags, units};
    wf_outcome read{};
    return reads_outcome(frame_of(outcome), &read);
  };
  CHECK(with(WF_AWARD_TAKE, 3));
  CHECK_FALSE(with(WF_AWARD_LIMITED, 2));
  CHECK_FALSE(with(WF_AWARD_LIMITED | WF_AWARD_TAKE, 1));
  CHECK_FALSE(with(0, limits::loot_units_max + 1));
  CHECK_FALSE(with(8, 1));
}

TEST_CASE("the largest outcome fits a frame") {
  std::string const id(limits::id_bytes_max, 'x');
  std::string const result(limits::result_bytes_max, 'r');
  std::string const reason(limits::reason_bytes_max, 'e');
  std::string const log(limits::log_bytes_max, 'l');
  std::string const state(limits::state_bytes_max, 's');
  wf_outcome written{};
  written.award_count = limits::awards_max;
  for (wf_award& award : written.awards) award = {text_of(id), WF_AWARD_TAKE, 2};
  written.state = text_of(state);
  written.result = text_of(result);
  written.reason = text_of(reason);
  written.log = text_of(log);
  std::string const packet = frame_of(written);
  wf_outcome outcome{};
  REQUIRE(reads_outcome(packet, &outcome));
  CHECK(outcome.award_count == limits::awards_max);
  CHECK(outcome.log.size == limits::log_bytes_max);
}

TEST_CASE("a frame that does not fit its buffer has length 0 and writes in bounds") {
  wf_job const job = sample_job();
  size_t const whole = frame_of(job).size();
  for (size_t room = 0; room < whole; ++room) {
    std::string buffer(room + 16, '\x7e');
    CHECK(wf_write_job(buffer.data(), room, &job) == 0);
    CHECK(buffer.substr(room) == std::string(16, '\x7e'));
  }
  std::string buffer(whole, '\0');
  CHECK(wf_write_job(buffer.data(), buffer.size(), &job) == whole);
}

TEST_CASE("a truncated frame is rejected, and reading stops at the packet's end") {
  GuardedBytes guarded(WF_FRAME_BYTES_MAX);
  wf_job job{};
  wf_outcome outcome{};
  std::string const job_packet = frame_of(sample_job());
  for (size_t size = 0; size < job_packet.size(); ++size) {
    std::string cut = job_packet.substr(0, size);
    CHECK_FALSE(reads_job(guarded.place(cut), &job));
    // The same with a header that claims this length.
    if (size < WF_HEADER_BYTES) continue;
    uint32_t const claimed = static_cast<uint32_t>(size - WF_HEADER_BYTES);
    std::memcpy(cut.data() + 8, &claimed, sizeof claimed);
    CHECK_FALSE(reads_job(guarded.place(cut), &job));
  }
  std::string const outcome_packet = frame_of(sample_outcome());
  for (size_t size = WF_HEADER_BYTES; size < outcome_packet.size(); ++size) {
    std::string cut = outcome_packet.substr(0, size);
    uint32_t const claimed = static_cast<uint32_t>(size - WF_HEADER_BYTES);
    std::memcpy(cut.data() + 8, &claimed, sizeof claimed);
    CHECK_FALSE(reads_outcome(guarded.place(cut), &outcome));
  }
  CHECK(reads_outcome(guarded.place(outcome_packet), &outcome));
}

TEST_CASE("a packet with another magic, version or length is rejected") {
  std::string const good = frame_of(sample_job());
  wf_job job{};
  REQUIRE(reads_job(good, &job));
  for (size_t at : {0, 1, 2, 3, 4, 5, 8, 9, 10, 11}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    CHECK_FALSE(reads_job(bad, &job));
  }
  CHECK_FALSE(reads_job(good + "x", &job));
}

TEST_CASE("bytes after the payload are rejected if the length includes them") {
  std::string bad = frame_of(sample_outcome()) + "x";
  uint32_t const claimed = static_cast<uint32_t>(bad.size() - WF_HEADER_BYTES);
  std::memcpy(bad.data() + 8, &claimed, sizeof claimed);
  wf_outcome outcome{};
  CHECK_FALSE(reads_outcome(bad, &outcome));
}

TEST_CASE("an outcome above a limit is rejected") {
  wf_outcome outcome{};
  SUBCASE("status") {
    wf_outcome bad = sample_outcome();
    bad.status = WF_BAD_JOB + 1;
    CHECK_FALSE(reads_outcome(frame_of(bad), &outcome));
  }
  SUBCASE("awards") {
    std::string bad = frame_of(sample_outcome());
    uint32_t const count = limits::awards_max + 1;
    std::memcpy(bad.data() + WF_HEADER_BYTES + 28, &count, sizeof count);
    CHECK_FALSE(reads_outcome(bad, &outcome));
  }
  SUBCASE("a malformed loot_id") {
    for (std::string_view const loot_id :
         {std::string_view(""), std::string_view("a b"), std::string_view("a\0", 2),
          std::string_view("a:b"), std::string_view("\xc3\xa9")}) {
      wf_outcome bad = sample_outcome();
      bad.awards[1].loot_id = text_of(loot_id);
      CHECK_FALSE(reads_outcome(frame_of(bad), &outcome));
    }
    std::string const long_id(limits::id_bytes_max + 1, 'x');
    wf_outcome bad = sample_outcome();
    bad.awards[0].loot_id = text_of(long_id);
    CHECK_FALSE(reads_outcome(frame_of(bad), &outcome));
  }
  SUBCASE("texts") {
    std::string const long_text(limits::result_bytes_max + 1, 'x');
    wf_outcome bad = sample_outcome();
    bad.result = text_of(long_text);
    CHECK_FALSE(reads_outcome(frame_of(bad), &outcome));
    bad = sample_outcome();
    bad.reason = text_of(std::string_view(long_text).substr(0, limits::reason_bytes_max + 1));
    CHECK_FALSE(reads_outcome(frame_of(bad), &outcome));
    bad = sample_outcome();
    bad.log = text_of(std::string_view(long_text).substr(0, limits::log_bytes_max + 1));
    CHECK_FALSE(reads_outcome(frame_of(bad), &outcome));
  }
}

TEST_CASE("a job with a script above the limit is rejected") {
  wf_job written = sample_job();
  wf_job job{};
  written.script_bytes = limits::script_bytes_max;
  CHECK(reads_job(frame_of(written), &job));
  written.script_bytes += 1;
  CHECK_FALSE(reads_job(frame_of(written), &job));
}

TEST_CASE("a failed reader returns zeros and stays failed") {
  std::string const bytes("\x05\0\0\0ab", 6);
  wf_reader reader;
  reader.at = reinterpret_cast<const unsigned char*>(bytes.data());
  reader.end = reader.at + bytes.size();
  reader.failed = 0;
  CHECK(wf_get_text(&reader, 64).size == 0);  // claims five bytes, has two
  CHECK(reader.failed == 1);
  CHECK(wf_get_u8(&reader) == 0);
  CHECK(wf_get_u64(&reader) == 0);
  CHECK(wf_all_read(&reader) == 0);
}

TEST_CASE("ids in frames follow the rules of base/ids.h") {
  for (int first = 0; first < 256; ++first) {
    std::string const one(1, static_cast<char>(first));
    std::string const two = "a" + one;
    CHECK((wf_is_id(text_of(one)) == 1) == is_id(one));
    CHECK((wf_is_id(text_of(two)) == 1) == is_id(two));
  }
  for (size_t size : {size_t{0}, size_t{1}, limits::id_bytes_max, limits::id_bytes_max + 1}) {
    std::string const text(size, 'a');
    CHECK((wf_is_id(text_of(text)) == 1) == is_id(text));
  }
}

TEST_CASE("an outcome that is accepted from random bytes is within the bounds") {
  std::mt19937_64 random(20241124);
  GuardedBytes guarded(WF_FRAME_BYTES_MAX);
  std::string const good = frame_of(sample_outcome());
  int taken = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string packet = good;
    for (uint64_t changes = random() % 4; changes > 0; --changes)
      packet[random() % packet.size()] = static_cast<char>(random());
    if (random() % 4 == 0) packet.resize(random() % packet.size());
    std::string_view const placed = guarded.place(packet);
    wf_outcome outcome{};
    if (!reads_outcome(placed, &outcome)) continue;
    ++taken;
    REQUIRE(keeps_bounds(outcome, placed));
  }
  CHECK(taken > 1000);  // otherwise the mutations only broke headers
}
