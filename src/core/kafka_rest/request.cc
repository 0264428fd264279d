// SPDX-License-Identifier: Apache-2.0
#include "core/kafka_rest/request.h"

#include "base/format_text.h"
#include "base/limits.h"
#include "core/kafka_rest/error.h"
#include "wire/body_parser.h"
#include "wire/loot_event_object.h"

namespace huntd::server {
namespace {

constexpr size_t event_fields = 7;

ProduceRecords reject(int code, PoolString message) { return {{}, {}, code, std::move(message)}; }

// Appends one element of "records" to `read`. Returns false, with the error in `read`, if it is
// malformed.
bool read_record(simdjson::dom::element element, ProduceRecords& read) {
  size_t const index = read.records.size();
  auto const rejected = [&](int code, std::string_view reason) {
    read = reject(code, format_text("record {}: {}", index, reason));
    return false;
  };
  simdjson::dom::object record;
  if (element.get(record) != simdjson::SUCCESS)
    return rejected(rest_code::bad_request, "a record must be a JSON object");
  simdjson::dom::element key;
  simdjson::dom::element value;
  bool has_key = false;
  bool has_value = false;
  for (simdjson::dom::key_value_pair const field : record) {
    if (field.key == "key" && !has_key) {
      key = field.value;
      has_key = true;
    } else if (field.key == "value" && !has_value) {
      value = field.value;
      has_value = true;
    } else if (field.key == "partition") {
      if (!field.value.is_null())
        return rejected(rest_code::unprocessable,
                        "omit \"partition\": the partition of an event follows from its hunter_id, "
                        "so that the events of a hunter stay in order");
    } else {
      return rejected(
          rest_code::unprocessable,
          "a record has \"value\" and optionally \"key\", each once, and no other field");
    }
  }
  simdjson::dom::object object;
  if (!has_value || value.get(object) != simdjson::SUCCESS)
    return rejected(rest_code::not_an_event, "\"value\" is not a JSON object");
  Result<LootEvent> const event = read_loot_event(object);
  if (!event) return rejected(rest_code::not_an_event, event.error().message);
  if (object["kind"].error() == simdjson::SUCCESS)
    return rejected(rest_code::not_an_event,
                    "omit \"kind\": only huntd's own events give several units or take loot");
  // Outside these bounds the aggregator would dead-letter the event.
  if (Result<void> const bounds = check_bounds(event->seq, event->timestamp_ms); !bounds)
    return rejected(rest_code::not_an_event, bounds.error().message);
  // read_loot_event() has found all seven fields, so another field is unknown or repeated. Two
  // readers could read a repeated field differently.
  if (object.size() != event_fields)
    return rejected(rest_code::not_an_event, "a field is unknown or repeated");
  std::string_view key_text;
  if (has_key && !key.is_null() &&
      (key.get(key_text) != simdjson::SUCCESS || key_text != event->hunter_id))
    return rejected(rest_code::unprocessable,
                    format_text("\"key\" is not the event's hunter_id: omit it, or send \"{}\"",
                                event->hunter_id));
  read.records.push_back({PoolString(event->hunter_id), PoolString(write_loot_event(*event))});
  read.hunt_ids.emplace_back(event->hunt_id);
  return true;
}

bool is_schema_field(std::string_view name) {
  return name == "key_schema" || name == "key_schema_id" || name == "value_schema" ||
         name == "value_schema_id";
}

}  // namespace

ProduceRecords read_produce_body(std::string_view json) {
  simdjson::dom::element body;
  simdjson::error_code const error = parse_body(json).get(body);
  if (error != simdjson::SUCCESS)
    return reject(rest_code::bad_request,
                  format_text("the body is not valid JSON: {}", simdjson::error_message(error)));
  simdjson::dom::object object;
  if (body.get(object) != simdjson::SUCCESS)
    return reject(rest_code::bad_request, "the body is not a JSON object");
  simdjson::dom::element records;
  bool has_records = false;
  for (simdjson::dom::key_value_pair const field : object) {
    if (field.key == "records" && !has_records) {
      records = field.value;
      has_records = true;
    } else if (!is_schema_field(field.key)) {
      return reject(rest_code::unprocessable,
                    "the body has \"records\" once, and no other field except null schemas");
    } else if (!field.value.is_null()) {
      return reject(rest_code::unprocessable,
                    format_text("omit \"{}\": loot events have one schema", field.key));
    }
  }
  if (!has_records || records.is_null())
    return reject(rest_code::unprocessable, "the body has no \"records\"");
  simdjson::dom::array array;
  if (records.get(array) != simdjson::SUCCESS)
    return reject(rest_code::bad_request, "\"records\" is not an array");
  if (array.size() == 0) return reject(rest_code::unprocessable, "\"records\" is empty");
  if (array.size() > limits::kafka_rest_records_max)
    return reject(rest_code::unprocessable,
                  format_text("the call has more than {} records", limits::kafka_rest_records_max));
  ProduceRecords read;
  for (simdjson::dom::element const element : array)
    if (!read_record(element, read)) return read;
  return read;
}

}  // namespace huntd::server
