// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/json_text.h"
#include "reconcile/compare.h"

namespace huntd::reconcile {

std::string report_text(const Report& report, bool has_kafka) {
  std::string text =
      fmt::format("Redis       {} loot held, {} sessions\n", report.held_loot, report.sessions);
  if (has_kafka)
    text += fmt::format("Kafka       {} distinct events in {} records\n", report.kafka_events,
                        report.kafka_records);
  text += fmt::format("outbox      {} events\n", report.outbox_events);
  text += fmt::format("PostgreSQL  {} loot in {} rows\n", report.row_loot, report.rows);
  if (report.expired > 0)
    text += fmt::format(
        "            {} rows, or their beginnings, were deleted by aggregator.retention_days\n",
        report.expired);
  if (report.supplies > 0)
    text += fmt::format("supplies    {}, {} units reserved and not settled\n", report.supplies,
                        report.supply_pending);
  for (const Difference& difference : report.differences) {
    text += difference.kind;
    if (!difference.hunter_id.empty()) text += " hunter " + difference.hunter_id;
    if (!difference.hunt_id.empty()) text += " hunt " + difference.hunt_id;
    text += ": " + difference.detail + "\n";
  }
  if (report.differences_total > report.differences.size())
    text += fmt::format("… and {} more\n", report.differences_total - report.differences.size());
  if (!report.agrees()) return text + fmt::format("{} differences\n", report.differences_total);
  if (report.waiting > 0)
    return text + fmt::format("agrees; {} events in the outbox are not in the table yet\n",
                              report.waiting);
  return text + "agrees\n";
}

std::string report_json(const Report& report, bool has_kafka) {
  std::string json = fmt::format(
      R"({{"agrees":{},"settled":{},"sessions":{},"held_loot":{},"kafka_records":{},)"
      R"("kafka_events":{},"outbox_events":{},"rows":{},"row_loot":{},"forgotten":{},"waiting":{},"supplies":{},)"
      R"("supply_pending":{},"differences_total":{},"differences":[)",
      report.agrees(), report.complete(), report.sessions, report.held_loot,
      has_kafka ? std::to_string(report.kafka_records) : "null",
      has_kafka ? std::to_string(report.kafka_events) : "null", report.outbox_events, report.rows,
      report.row_loot, report.expired, report.waiting, report.supplies, report.supply_pending,
      report.differences_total);
  for (const Difference& difference : report.differences) {
    if (json.back() != '[') json += ',';
    json += "{\"kind\":";
    append_json_string(json, difference.kind);
    json += ",\"hunter_id\":";
    append_json_string(json, difference.hunter_id);
    json += ",\"hunt_id\":";
    append_json_string(json, difference.hunt_id);
    json += ",\"detail\":";
    append_json_string(json, difference.detail);
    json += '}';
  }
  return json + "]}\n";
}

}  // namespace huntd::reconcile
