// SPDX-License-Identifier: Apache-2.0
// The bodies of produce calls that are accepted and rejected, and the responses, byte for byte.
#include "base/limits.h"
#include "core/kafka_rest/error.h"
#include "core/kafka_rest/request.h"
#include "core/kafka_rest/response.h"
#include "wire/loot_event.h"

#include <doctest/doctest.h>

#include <string>

using namespace huntd;
using namespace huntd::server;
using Fate = DeliveryReport::Fate;

namespace {

std::string event(const std::string& hunter = "ada", const std::string& more = "") {
  return R"({"event_id":"00000000000000000000000000000000","hunter_id":")" + hunter +
         R"(","hunt_id":"gold","loot_id":"coin","seq":1,"timestamp":1764000000123,)"
         R"("bundle":"ffffffffffffffffffffffffffffffff")" +
         more + "}";
}

std::string body_of(const std::string& records, const std::string& more = "") {
  return R"({"records":[)" + records + "]" + more + "}";
}

// Code and message of a body that must be rejected.
std::string rejection(const std::string& body) {
  ProduceRecords const read = read_produce_body(body);
  CHECK(read.records.empty());
  return std::to_string(read.error_code) + " " + std::string(read.message);
}

DeliveryReport stored(int32_t partition, int64_t offset) {
  return {Fate::stored, partition, offset, ""};
}
DeliveryReport failed(Fate fate, const char* reason) { return {fate, -1, -1, reason}; }

}  // namespace

TEST_CASE("records are keyed by hunter, in order, and have the event as huntd writes it") {
  ProduceRecords const read = read_produce_body(body_of(
      R"({"value": )" + event("ada") + R"( }, {"value":)" + event("bob") +
          R"(,"key":"bob"}, {"key":null,"partition":null,"value":)" + event("ada") + "}",
      R"(,"key_schema":null,"key_schema_id":null,"value_schema":null,"value_schema_id":null)"));
  CHECK(read.error_code == 0);
  REQUIRE(read.records.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    std::string const hunter = i == 1 ? "bob" : "ada";
    CHECK(read.records[i].key == std::string_view(hunter));
    CHECK(read.records[i].value == std::string_view(event(hunter)));
    CHECK(read_loot_event(read.records[i].value));
  }
}

TEST_CASE("a body that is not a produce call is rejected") {
  CHECK(rejection("").starts_with("400 the body is not valid JSON: "));
  CHECK(rejection("{").starts_with("400 the body is not valid JSON: "));
  CHECK(rejection("{\"records\":[\xff]}").starts_with("400 the body is not valid JSON: "));
  CHECK(rejection(std::string(5000, '[')).starts_with("400 the body is not valid JSON: "));
  CHECK(rejection("[]") == "400 the body is not a JSON object");
  CHECK(rejection("{}") == R"(422 the body has no "records")");
  CHECK(rejection(R"({"records":null})") == R"(422 the body has no "records")");
  CHECK(rejection(R"({"records":{}})") == R"(400 "records" is not an array)");
  CHECK(rejection(R"({"records":[]})") == R"(422 "records" is empty)");
  std::string const good = R"({"value":)" + event() + "}";
  for (const char* more : {R"(,"records":[])", R"(,"topic":"a")"})
    CHECK(rejection(body_of(good, more)) ==
          R"(422 the body has "records" once, and no other field except null schemas)");
  CHECK(rejection(body_of(good, R"(,"value_schema_id":1)")) ==
        R"(422 omit "value_schema_id": loot events have one schema)");
}

TEST_CASE("one malformed record rejects the call; the message has its index") {
  std::string const good = R"({"value":)" + event() + "}";
  auto const second = [&](const std::string& record) {
    return rejection(body_of(good + "," + record));
  };
  CHECK(second("7") == "400 record 1: a record must be a JSON object");
  CHECK(second("{}") == R"(42203 record 1: "value" is not a JSON object)");
  CHECK(second(R"({"value":null})") == R"(42203 record 1: "value" is not a JSON object)");
  CHECK(second(R"({"value":"eyJ9"})") == R"(42203 record 1: "value" is not a JSON object)");
  CHECK(second(R"({"value":{}})") == R"(42203 record 1: no text field "event_id")");
  CHECK(second(R"({"value":)" + event("a b") + "}") ==
        R"(42203 record 1: field "hunter_id" is malformed)");
  auto const changed = [&](const std::string& from, const std::string& to) {
    std::string text = event();
    text.replace(text.find(from), from.size(), to);
    return second(R"({"value":)" + text + "}");
  };
  CHECK(changed(R"("seq":1)", R"("seq":9223372036854775807)") ==
        R"(42203 record 1: field "seq" is above 9223372036854775806)");
  for (const char* time : {"-1", "253402300800000"})
    CHECK(changed("1764000000123", time) ==
          R"(42203 record 1: field "timestamp" is not from 0 to 253402300799999)");
  for (const char* more : {R"(,"colour":"red")", R"(,"seq":2)"})
    CHECK(second(R"({"value":)" + event("ada", more) + "}") ==
          "42203 record 1: a field is unknown or repeated");
  for (const char* kind : {R"(,"kind":"take","count":2)", R"(,"kind":"award","count":1)"})
    CHECK(second(R"({"value":)" + event("ada", kind) + "}")
              .starts_with(R"(42203 record 1: omit "kind": )"));
  for (const char* key : {R"("bob")", "7", R"({"hunter_id":"ada"})", R"("")"})
    CHECK(second(R"({"key":)" + std::string(key) + R"(,"value":)" + event() + "}") ==
          R"(422 record 1: "key" is not the event's hunter_id: omit it, or send "ada")");
  CHECK(second(R"({"partition":0,"value":)" + event() + "}")
            .starts_with(R"(422 record 1: omit "partition": )"));
  for (const char* more : {R"(,"headers":[])", R"(,"value":{})"})
    CHECK(
        second(R"({"value":)" + event() + more + "}") ==
        R"(422 record 1: a record has "value" and optionally "key", each once, and no other field)");
  CHECK(second(R"({"key":null,"key":"bob","value":)" + event() + "}")
            .starts_with("422 record 1: a record has "));
}

TEST_CASE("a call has at most limits::rest_records_max records") {
  std::string const record = R"({"value":)" + event() + "}";
  std::string records = record;
  for (size_t i = 1; i < limits::kafka_rest_records_max; ++i) records += "," + record;
  CHECK(body_of(records).size() < limits::request_body_bytes_max);
  CHECK(read_produce_body(body_of(records)).records.size() == limits::kafka_rest_records_max);
  CHECK(rejection(body_of(records + "," + record)) == "422 the call has more than 64 records");
}

TEST_CASE("a body is read correctly after a rejected one") {
  CHECK(rejection("{\"a\":\"\xff\"}").starts_with("400 "));
  CHECK(read_produce_body(body_of(R"({"value":)" + event() + "}")).records.size() == 1);
}

TEST_CASE("the response has each record's partition and offset, or its error") {
  Response const response = produce_response(
      {stored(3, 41), failed(Fate::rejected, "Broker: Message size too large"),
       failed(Fate::retriable, "Local: Queue full"), DeliveryReport(), stored(0, 1LL << 40),
       failed(Fate::no_such_topic, "Broker: Unknown topic or partition")},
      "loot_events");
  CHECK(response.status == 200);
  CHECK(response.content_type == "application/vnd.kafka.v2+json");
  CHECK(
      response.body ==
      R"({"key_schema_id":null,"value_schema_id":null,"offsets":[)"
      R"({"partition":3,"offset":41,"error_code":null,"error":null},)"
      R"({"partition":null,"offset":null,"error_code":50002,"error":"Broker: Message size too large; the event is not stored"},)"
      R"({"partition":null,"offset":null,"error_code":50003,"error":"Local: Queue full; the event is not stored"},)"
      R"({"partition":null,"offset":null,"error_code":50003,"error":"no report came in time; the event may be stored: a retry is harmless"},)"
      R"({"partition":0,"offset":1099511627776,"error_code":null,"error":null},)"
      R"({"partition":null,"offset":null,"error_code":50002,"error":"Broker: Unknown topic or partition; the event is not stored"}]})");
}

TEST_CASE("if the topic does not exist, the whole response is an error") {
  DeliveryReport const none = failed(Fate::no_such_topic, "Broker: Unknown topic or partition");
  Response const response = produce_response({none, none}, "loot_events");
  CHECK(response.status == 404);
  CHECK(
      response.body ==
      R"({"error_code":40401,"message":"Topic loot_events not found: Broker: Unknown topic or partition"})");
}

TEST_CASE("the status of an error is its code, or the code without its last two digits") {
  for (auto const& [code, status] :
       {std::pair(400, 400), {422, 422}, {40101, 401}, {40401, 404}, {42203, 422}})
    CHECK(rest_error(code, "").status == status);
  CHECK(rest_error(422, "a \"b\"\xff").body ==
        "{\"error_code\":422,\"message\":\"a \\\"b\\\"\xef\xbf\xbd\"}");
}

TEST_CASE("errors that all paths share have a code of the REST proxy on this path") {
  Response const response =
      rest_error(Problem::body_too_large, "the body has more than 16384 bytes");
  CHECK(response.status == 413);
  CHECK(response.content_type == "application/vnd.kafka.v2+json");
  CHECK(
      response.body ==
      R"({"error_code":413,"message":"The body is too large: the body has more than 16384 bytes"})");
  CHECK(rest_error(Problem::unauthorized, "").body.starts_with(R"({"error_code":40101,)"));
  CHECK(rest_error(Problem::forbidden, "").body.starts_with(R"({"error_code":40301,)"));
  CHECK(rest_error(Problem::no_such_route, "").body ==
        R"({"error_code":404,"message":"No such path"})");
}
