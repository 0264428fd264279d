#include "rest/request.h"

#include "base/format_text.h"
#include "base/limits.h"
#include "http/rest_error.h"
#include "protocol/body_parser.h"
#include "protocol/loot_event_object.h"

namespace huntd {
namespace {

constexpr size_t event_fields = 7;

ProduceRecords refuse(int code, Text message) { return {{}, code, std::move(message)}; }

// One element of "records" as a record, appended; false with the refusal in `read`.
bool read_record(simdjson::dom::element element, ProduceRecords& read) {
  size_t const place = read.records.size();
  auto const refused = [&](int code, std::string_view why) {
    read = refuse(code, format_text("record {}: {}", place, why));
    return false;
  };
  simdjson::dom::object record;
  if (element.get(record) != simdjson::SUCCESS)
    return refused(rest_code::bad_request, "a record is a JSON object");
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
        return refused(rest_code::unprocessable,
                       "leave \"partition\" out: an event's partition follows from its hunter_id, "
                       "so that a hunter's events stay in order");
    } else {
      return refused(rest_code::unprocessable,
                     "a record has \"value\" and perhaps \"key\", each once, and nothing else");
    }
  }
  simdjson::dom::object object;
  if (!has_value || value.get(object) != simdjson::SUCCESS)
    return refused(rest_code::not_an_event, "\"value\" is not a JSON object");
  Result<LootEvent> const event = read_loot_event(object);
  if (!event) return refused(rest_code::not_an_event, event.error().message);
  // Past these the aggregator sets an event aside.
  if (Result<void> const bounds = check_bounds(event->seq, event->timestamp_ms); !bounds)
    return refused(rest_code::not_an_event, bounds.error().message);
  // Each of the seven is there, so any more is none of them or one of them twice: two readers could
  // then see two events.
  if (object.size() != event_fields)
    return refused(rest_code::not_an_event, "a field is none of an event's seven, or comes twice");
  std::string_view key_text;
  if (has_key && !key.is_null() &&
      (key.get(key_text) != simdjson::SUCCESS || key_text != event->hunter_id))
    return refused(rest_code::unprocessable,
                   format_text("\"key\" is not the event's hunter_id: leave it out, or send \"{}\"",
                               event->hunter_id));
  read.records.push_back({Text(event->hunter_id), Text(write_loot_event(*event))});
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
    return refuse(rest_code::bad_request,
                  format_text("the body is not valid JSON: {}", simdjson::error_message(error)));
  simdjson::dom::object object;
  if (body.get(object) != simdjson::SUCCESS)
    return refuse(rest_code::bad_request, "the body is not a JSON object");
  simdjson::dom::element records;
  bool has_records = false;
  for (simdjson::dom::key_value_pair const field : object) {
    if (field.key == "records" && !has_records) {
      records = field.value;
      has_records = true;
    } else if (!is_schema_field(field.key)) {
      return refuse(rest_code::unprocessable,
                    "the body has \"records\" once, and nothing else but null schemas");
    } else if (!field.value.is_null()) {
      return refuse(rest_code::unprocessable,
                    format_text("leave \"{}\" out: loot events have one schema", field.key));
    }
  }
  if (!has_records || records.is_null())
    return refuse(rest_code::unprocessable, "the body has no \"records\"");
  simdjson::dom::array array;
  if (records.get(array) != simdjson::SUCCESS)
    return refuse(rest_code::bad_request, "\"records\" is not an array");
  if (array.size() == 0) return refuse(rest_code::unprocessable, "\"records\" is empty");
  if (array.size() > limits::rest_records_max)
    return refuse(rest_code::unprocessable,
                  format_text("one call may have {} records", limits::rest_records_max));
  ProduceRecords read;
  for (simdjson::dom::element const element : array)
    if (!read_record(element, read)) return read;
  return read;
}

}  // namespace huntd
