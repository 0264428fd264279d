// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/json_text.h"
#include "reconcile/report.h"
#include "wire/generation.h"

namespace huntd::reconcile {

namespace {

std::string totals_text(const Report& report, bool has_kafka) {
  std::string text =
      fmt::format("Redis       {} loot held, {} sessions\n", report.held_loot, report.sessions);
  if (has_kafka)
    text += fmt::format("Kafka       {} distinct events in {} records\n", report.kafka_events,
                        report.kafka_records);
  if (report.set_aside > 0) {
    text +=
        fmt::format("            {} unreadable records are in the dead letters", report.set_aside);
    for (const NamedRecord& record : report.dead_lettered)
      text += (&record == report.dead_lettered.data() ? ": " : ", ") + record.position;
    text += report.set_aside > report.dead_lettered.size() ? ", …\n" : "\n";
  }
  text += fmt::format("outbox      {} events\n", report.outbox_events);
  text += fmt::format("PostgreSQL  {} loot in {} rows\n", report.row_loot, report.rows);
  if (report.expired > 0)
    text += fmt::format(
        "            {} rows, or their beginnings, were deleted by aggregator.retention_days\n",
        report.expired);
  if (report.purged_events > 0)
    text += fmt::format("purged      {} events of purged seasons are not compared\n",
                        report.purged_events);
  if (report.supplies > 0)
    text += fmt::format("supplies    {}, {} units reserved and not settled\n", report.supplies,
                        report.supply_pending);
  if (report.lost > 0)
    text +=
        fmt::format("lost        {} loot by Redis: huntctl restore gives it back\n", report.lost);
  return text;
}

std::string difference_json(const Difference& difference) {
  std::string json = "{\"kind\":";
  append_json_string(json, difference.kind);
  json += ",\"hunter_id\":";
  append_json_string(json, difference.hunter_id);
  json += ",\"hunt_id\":";
  append_json_string(json, difference.hunt_id);
  json += ",\"detail\":";
  append_json_string(json, difference.detail);
  if (difference.seqs.empty()) return json + "}";
  json += fmt::format(R"(,"generation":"{}","seqs":"{}","loot":{{)",
                      generation_text(difference.generation), ranges_text(difference.seqs));
  for (const auto& [loot_id, count] : difference.loot) {
    if (json.back() != '{') json += ',';
    append_json_string(json, loot_id);
    json += fmt::format(":{}", count);
  }
  return json + "}}";
}

}  // namespace

std::string report_text(const Report& report, bool has_kafka) {
  std::string text = totals_text(report, has_kafka);
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
      R"("kafka_events":{},"outbox_events":{},"purged_events":{},"set_aside":{},"rows":{},)"
      R"("row_loot":{},"forgotten":{},"waiting":{},"lost":{},"supplies":{},"supply_pending":{},)"
      R"("differences_total":{},"differences":[)",
      report.agrees(), report.complete(), report.sessions, report.held_loot,
      has_kafka ? std::to_string(report.kafka_records) : "null",
      has_kafka ? std::to_string(report.kafka_events) : "null", report.outbox_events,
      report.purged_events, report.set_aside, report.rows, report.row_loot, report.expired,
      report.waiting, report.lost, report.supplies, report.supply_pending,
      report.differences_total);
  for (const Difference& difference : report.differences) {
    if (json.back() != '[') json += ',';
    json += difference_json(difference);
  }
  json += "],\"dead_lettered\":[";
  for (const NamedRecord& record : report.dead_lettered) {
    if (json.back() != '[') json += ',';
    json += "{\"position\":";
    append_json_string(json, record.position);
    json += ",\"reason\":";
    append_json_string(json, record.reason);
    json += '}';
  }
  return json + "]}\n";
}

}  // namespace huntd::reconcile
