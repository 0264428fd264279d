// SPDX-License-Identifier: Apache-2.0
#include "core/kafka_rest/response.h"

#include <algorithm>

#include "base/format_text.h"
#include "base/json_text.h"
#include "core/kafka_rest/error.h"

namespace huntd::server {
namespace {

using Fate = DeliveryReport::Fate;

void append_report(PoolString& body, const DeliveryReport& report) {
  if (report.fate == Fate::stored) {
    append_format(body, R"({{"partition":{},"offset":{},"error_code":null,"error":null}})",
                  report.partition, report.offset);
    return;
  }
  bool const retriable = report.fate == Fate::retriable || report.fate == Fate::unknown;
  append_format(body, R"({{"partition":null,"offset":null,"error_code":{},"error":)",
                retriable ? rest_code::kafka_retriable : rest_code::kafka);
  append_json_string(
      body, report.fate == Fate::unknown
                ? format_text("{}; the event may be stored: a retry is harmless", report.reason)
                : format_text("{}; the event is not stored", report.reason));
  body.push_back('}');
}

}  // namespace

Response produce_response(const PoolVector<DeliveryReport>& reports, std::string_view topic) {
  if (std::all_of(reports.begin(), reports.end(),
                  [](const DeliveryReport& report) { return report.fate == Fate::no_such_topic; }))
    return no_such_topic(topic, reports.front().reason);
  Response response;
  response.content_type = rest_type;
  response.body = R"({"key_schema_id":null,"value_schema_id":null,"offsets":[)";
  for (size_t i = 0; i < reports.size(); ++i) {
    if (i > 0) response.body.push_back(',');
    append_report(response.body, reports[i]);
  }
  response.body += "]}";
  return response;
}

Response no_such_topic(std::string_view topic, std::string_view reason) {
  return rest_error(rest_code::no_such_topic, format_text("Topic {} not found: {}", topic, reason));
}

}  // namespace huntd::server
