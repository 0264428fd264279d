#include "reconcile/compare.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

using huntd::Books;
using huntd::LootEvent;
using huntd::SessionBook;
using huntd::Verdict;

namespace {

LootEvent event_of(uint64_t seq, std::string hunter_id = "ada", std::string loot_id = "coin",
                   uint64_t event_number = 0, int64_t timestamp_ms = 1) {
  return {.event_id = fmt::format("{:032x}", event_number == 0
                                                 ? seq + 1000 * static_cast<uint64_t>(hunter_id[0])
                                                 : event_number),
          .hunter_id = std::move(hunter_id),
          .hunt_id = "chest",
          .loot_id = std::move(loot_id),
          .seq = seq,
          .timestamp_ms = timestamp_ms,
          .bundle = std::string(32, 'a')};
}

// Hunter ada was given three coins, and everybody says so.
Books agreeing_books(bool has_kafka) {
  Books books;
  books.has_kafka = has_kafka;
  SessionBook& session = books.session("ada", "chest");
  session.has_held = session.has_row = true;
  session.held = {.loot = {{"coin", 3}}, .seq = 3};
  session.row.loot = {{"coin", 3}};
  session.row.loot_count = 3;
  for (uint64_t seq = 1; seq <= 3; ++seq) session.row.seen.insert(seq);
  if (has_kafka)
    for (uint64_t seq = 1; seq <= 3; ++seq) books.add_event(event_of(seq), false);
  return books;
}

// Retention has run, up to time 10. Hunter ada was given `given` coins; her row, if any, has seen
// the seqs of `seen`.
Books forgetful_books(uint64_t given, std::initializer_list<uint64_t> seen) {
  Books books;
  books.forgotten_before_ms = 10;
  SessionBook& session = books.session("ada", "chest");
  session.has_held = true;
  session.held = {.loot = {{"coin", given}}, .seq = given};
  session.has_row = seen.size() > 0;
  if (session.has_row) session.row.loot = {{"coin", seen.size()}};
  session.row.loot_count = seen.size();
  for (uint64_t seq : seen) session.row.seen.insert(seq);
  return books;
}

// There is a Kafka too, whose topic no longer has its beginning and has of ada's events the ones of
// `old` and `recent`.
void trim_topic_to(Books& books, std::initializer_list<uint64_t> old,
                   std::initializer_list<uint64_t> recent) {
  books.has_kafka = true;
  books.kafka_from_the_start = false;
  for (uint64_t seq : old) books.add_event(event_of(seq, "ada", "coin", 0, 9), false);
  for (uint64_t seq : recent) books.add_event(event_of(seq, "ada", "coin", 0, 10), false);
}

std::string kinds_of(const Verdict& verdict) {
  std::string kinds;
  for (const huntd::Difference& difference : verdict.differences)
    kinds += (kinds.empty() ? "" : " ") + difference.kind;
  return kinds;
}

std::string judged(Books books) { return kinds_of(compare(books, 50)); }

// Each difference's kind and seqs: "row_missing 2 to 4; …".
std::string named_by(const Verdict& verdict) {
  std::string named;
  for (const huntd::Difference& difference : verdict.differences) {
    size_t const at = difference.detail.find("seq ") + 4;
    named += fmt::format("{}{} {}", named.empty() ? "" : "; ", difference.kind,
                         difference.detail.substr(at, difference.detail.find(':', at) - at));
  }
  return named;
}

}  // namespace

TEST_CASE("books that agree give no difference, with Kafka and without") {
  for (bool has_kafka : {false, true}) {
    Books books = agreeing_books(has_kafka);
    Verdict verdict = compare(books, 50);
    CHECK(verdict.agrees());
    CHECK(verdict.settled());
    CHECK(verdict.held_loot == 3);
    CHECK(verdict.row_loot == 3);
    CHECK(verdict.kafka_events == (has_kafka ? 3 : 0));
  }
}

TEST_CASE("a record that Kafka has twice is one event") {
  Books books = agreeing_books(true);
  books.add_event(event_of(2), false);
  Verdict verdict = compare(books, 50);
  CHECK(verdict.agrees());
  CHECK(verdict.kafka_records == 4);
  CHECK(verdict.kafka_events == 3);
}

TEST_CASE("counts in Redis that do not add up to its seq differ") {
  Books books = agreeing_books(false);
  books.session("ada", "chest").held.loot["coin"] = 2;
  CHECK(judged(std::move(books)).find("held_seq") != std::string::npos);
}

TEST_CASE("an event that is nowhere is named with its seq") {
  Books books = agreeing_books(true);
  std::erase_if(books.events, [](const huntd::EventBook& event) { return event.seq == 2; });
  Verdict verdict = compare(books, 50);
  CHECK(kinds_of(verdict) == "event_missing");
  CHECK(verdict.differences[0].detail.find("seq 2:") != std::string::npos);
}

TEST_CASE("where retention has removed the beginning, what the table has seen is no difference") {
  Books books = agreeing_books(true);
  books.kafka_from_the_start = false;
  std::erase_if(books.events, [](const huntd::EventBook& event) { return event.seq == 1; });
  CHECK(judged(books).empty());
  // Nor what waits beside the row.
  SessionBook& session = books.session("ada", "chest");
  session.row.seen = {};
  session.row.seen.insert(2);
  session.row.seen.insert(3);
  session.row.loot = {{"coin", 2}};
  session.row.loot_count = 2;
  session.row.waiting.push_back(event_of(1));
  CHECK(judged(std::move(books)).empty());
}

TEST_CASE("a hunter whose events are all in the topic has their loot compared, trimmed or not") {
  for (bool from_the_start : {true, false}) {
    Books books = agreeing_books(true);
    books.kafka_from_the_start = from_the_start;
    books.events.pop_back();
    books.add_event(event_of(3, "ada", "gem"), false);
    CHECK(judged(std::move(books)) == "event_loot");
  }
}

TEST_CASE("an event in the outbox that the row has not seen is waiting, and no difference") {
  for (bool has_kafka : {false, true}) {
    Books books = agreeing_books(has_kafka);
    books.session("ada", "chest").held = {.loot = {{"coin", 3}, {"gem", 1}}, .seq = 4};
    books.add_event(event_of(4, "ada", "gem"), true);
    Verdict verdict = compare(books, 50);
    CHECK(verdict.agrees());
    CHECK_FALSE(verdict.settled());
    CHECK(verdict.waiting == 1);
    CHECK(verdict.outbox_events == 1);
  }
}

TEST_CASE(
    "an event in Kafka and still in the outbox counts once, and as waiting until it is merged") {
  Books books = agreeing_books(true);
  books.session("ada", "chest").held = {.loot = {{"coin", 4}}, .seq = 4};
  books.add_event(event_of(4), true);
  books.add_event(event_of(4), false);
  Verdict verdict = compare(books, 50);
  CHECK(verdict.agrees());
  CHECK(verdict.kafka_events == 4);
  CHECK(verdict.outbox_events == 1);
  CHECK(verdict.waiting == 1);
}

TEST_CASE("an event in Kafka alone that the row has not seen differs") {
  Books books = agreeing_books(true);
  books.session("ada", "chest").held = {.loot = {{"coin", 4}}, .seq = 4};
  books.add_event(event_of(4), false);
  CHECK(judged(std::move(books)) == "row_missing_events");
}

TEST_CASE("loot without a row differs, and a row without loot differs") {
  Books books;
  SessionBook& held = books.session("ada", "chest");
  held.has_held = true;
  held.held = {.loot = {{"coin", 1}}, .seq = 1};
  CHECK(judged(std::move(books)) == "row_missing");
  Books other;
  SessionBook& row = other.session("ada", "chest");
  row.has_row = true;
  row.row.seen.insert(1);
  row.row.loot = {{"coin", 1}};
  row.row.loot_count = 1;
  CHECK(judged(std::move(other)) == "row_ahead");
}

TEST_CASE("a row with other loot differs even where the seqs agree") {
  Books books = agreeing_books(true);
  books.session("ada", "chest").row.loot = {{"coin", 2}, {"gem", 1}};
  CHECK(judged(std::move(books)) == "row_loot");
}

TEST_CASE("a loot_count that is not the sum differs") {
  Books books = agreeing_books(false);
  books.session("ada", "chest").row.loot_count = 4;
  CHECK(judged(std::move(books)) == "row_count");
}

TEST_CASE("events of other loot than Redis holds differ") {
  Books books = agreeing_books(true);
  books.events.clear();
  for (uint64_t seq = 1; seq <= 3; ++seq)
    books.add_event(event_of(seq, "ada", seq == 3 ? "gem" : "coin"), false);
  CHECK(judged(std::move(books)) == "event_loot");
}

TEST_CASE("an event that Redis never gave differs") {
  Books books = agreeing_books(true);
  books.add_event(event_of(9), false);
  CHECK(judged(std::move(books)).starts_with("event_unknown"));
}

TEST_CASE("a seq with two event_ids, and an event_id with two seqs or hunters, are named") {
  Books books = agreeing_books(true);
  books.add_event(event_of(2, "ada", "coin", 77), false);
  CHECK(judged(std::move(books)) == "seq_shared");
  Books other = agreeing_books(true);
  SessionBook& bob = other.session("bob", "chest");
  bob.has_held = bob.has_row = true;
  bob.held = {.loot = {{"coin", 1}}, .seq = 1};
  bob.row.loot = {{"coin", 1}};
  bob.row.loot_count = 1;
  bob.row.seen.insert(1);
  LootEvent stolen = event_of(1, "bob");
  stolen.event_id = event_of(1).event_id;
  other.add_event(stolen, false);
  CHECK(judged(std::move(other)) == "event_id_shared");
}

TEST_CASE("events that wait beside a row count as in the table") {
  Books books = agreeing_books(true);
  SessionBook& session = books.session("ada", "chest");
  session.held = {.loot = {{"coin", 4}}, .seq = 4};
  session.row.waiting.push_back(event_of(4));
  books.add_event(event_of(4), false);
  CHECK(judged(std::move(books)).empty());
}

TEST_CASE("a supply that gave more than hunters hold, or by an event that is nowhere, differs") {
  Books books = agreeing_books(true);
  books.supplies.push_back(
      {.hunt_id = "chest", .loot_id = "coin", .given = {event_of(1).event_id}, .pending = 2});
  Verdict verdict = compare(books, 50);
  CHECK(verdict.agrees());
  CHECK(verdict.supply_pending == 2);
  books.supplies[0].given = {event_of(1).event_id, std::string(32, 'f'), "short"};
  CHECK(kinds_of(compare(books, 50)) == "supply_event supply_event");
  books.supplies[0].loot_id = "crown";
  books.supplies[0].given = {event_of(1).event_id};
  CHECK(kinds_of(compare(books, 50)) == "supply_over");
}

TEST_CASE("a record that is no event differs") {
  Books books = agreeing_books(true);
  books.unreadable.push_back({"partition 3 offset 41", "not a JSON object"});
  CHECK(judged(std::move(books)) == "unreadable");
}

TEST_CASE("what the table deleted by age is no difference, and what it should have is") {
  Books books = agreeing_books(false);
  SessionBook& session = books.session("ada", "chest");
  session.has_row = false;
  session.row = {};
  CHECK(judged(books) == "row_missing");
  books.forgotten_before_ms = 10;
  CHECK(compare(books, 50).forgotten == 1);
  CHECK(judged(books).empty());
  // Kafka still has them: the old ones may be gone from the table, a newer one may not.
  books.has_kafka = true;
  for (uint64_t seq = 1; seq <= 3; ++seq) books.add_event(event_of(seq), false);
  CHECK(judged(books).empty());
  books.session("ada", "chest").held = {.loot = {{"coin", 4}}, .seq = 4};
  LootEvent newer = event_of(4);
  newer.timestamp_ms = 10;
  books.add_event(newer, false);
  CHECK(judged(books) == "row_missing");
}

TEST_CASE("an event lost between two that the row has seen is named, also after rows went by age") {
  Books books = forgetful_books(7, {1, 2, 3, 4, 5, 7});
  Verdict verdict = compare(books, 50);
  CHECK(named_by(verdict) == "row_missing_events 6");
  CHECK(verdict.forgotten == 0);
  trim_topic_to(books, {}, {7});
  verdict = compare(books, 50);
  CHECK(named_by(verdict) == "event_missing 6; row_missing_events 6");
  CHECK(verdict.forgotten == 0);
}

TEST_CASE("an event lost after the last one that the row has seen is named, also after rows went") {
  Books books = forgetful_books(5, {1, 2, 3});
  CHECK(named_by(compare(books, 50)) == "row_missing_events 4 to 5");
  trim_topic_to(books, {2}, {3});
  CHECK(named_by(compare(books, 50)) == "event_missing 4 to 5; row_missing_events 4 to 5");
}

TEST_CASE("what lies before the first seq of a row that began anew is forgotten") {
  Books books = forgetful_books(7, {6, 7});
  Verdict verdict = compare(books, 50);
  CHECK(named_by(verdict).empty());
  CHECK(verdict.forgotten == 1);
  trim_topic_to(books, {}, {7});
  verdict = compare(books, 50);
  CHECK(named_by(verdict).empty());
  CHECK(verdict.forgotten == 1);
}

TEST_CASE("a row that began anew and has a hole has its beginning forgotten and its hole named") {
  Books books = forgetful_books(9, {6, 7, 9});
  Verdict verdict = compare(books, 50);
  CHECK(named_by(verdict) == "row_missing_events 8");
  CHECK(verdict.forgotten == 1);
  trim_topic_to(books, {}, {9});
  CHECK(named_by(compare(books, 50)) == "event_missing 8; row_missing_events 8");
}

TEST_CASE("from the first event on that is too recent to be forgotten, all must be in the row") {
  Books books = forgetful_books(10, {10});
  trim_topic_to(books, {6, 7}, {8, 10});
  Verdict verdict = compare(books, 50);
  CHECK(named_by(verdict) == "event_missing 9; row_missing_events 8 to 9");
  CHECK(verdict.forgotten == 1);
}

TEST_CASE("where there is no row, all is forgotten that no recent event is known of") {
  Books books = forgetful_books(4, {});
  trim_topic_to(books, {}, {});
  Verdict verdict = compare(books, 50);
  CHECK(named_by(verdict).empty());
  CHECK(verdict.forgotten == 1);
  trim_topic_to(books, {3}, {4});
  verdict = compare(books, 50);
  CHECK(named_by(verdict) == "row_missing 4");
  CHECK(verdict.forgotten == 1);
}

TEST_CASE("an event in the outbox ends what is forgotten, also where there is no row") {
  Books books = forgetful_books(7, {});
  books.add_event(event_of(5, "ada", "coin", 0, 10), true);
  books.add_event(event_of(7, "ada", "coin", 0, 10), true);
  Verdict verdict = compare(books, 50);
  CHECK(named_by(verdict) == "row_missing 6");
  CHECK(verdict.forgotten == 1);
  CHECK(verdict.waiting == 2);
}

TEST_CASE("a topic loses its beginning only: a hole after its first event is named without a row") {
  Books books = forgetful_books(6, {});
  trim_topic_to(books, {3, 5}, {});
  CHECK(named_by(compare(books, 50)) == "event_missing 4, 6");
}

TEST_CASE("an old event is named as long as there is a row that has not seen it") {
  Books books = forgetful_books(4, {1, 2, 4});
  trim_topic_to(books, {2, 3}, {4});
  CHECK(named_by(compare(books, 50)) == "row_missing_events 3");
}

TEST_CASE("nothing is forgotten of a row that can't be read, or where no row ever went by age") {
  Books books = forgetful_books(3, {});
  books.session("ada", "chest").has_row = true;  // as postgres_books.cc leaves it
  CHECK(named_by(compare(books, 50)) == "row_missing_events 1 to 3");
  Books other = forgetful_books(3, {2});
  other.forgotten_before_ms = 0;
  CHECK(named_by(compare(other, 50)) == "row_missing_events 1, 3");
  trim_topic_to(other, {}, {3});
  CHECK(named_by(compare(other, 50)) == "event_missing 1; row_missing_events 1, 3");
}

TEST_CASE("the list is bounded, the total is not") {
  Books books;
  for (int i = 0; i < 100; ++i) {
    SessionBook& session = books.session(fmt::format("h{}", i), "chest");
    session.has_held = true;
    session.held = {.loot = {{"coin", 1}}, .seq = 1};
  }
  Verdict verdict = compare(books, 7);
  CHECK(verdict.differences.size() == 7);
  CHECK(verdict.differences_total == 100);
  CHECK(verdict_text(verdict, false).find("93 more") != std::string::npos);
}
