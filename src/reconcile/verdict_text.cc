#include <fmt/format.h>

#include "base/json_text.h"
#include "reconcile/compare.h"

namespace huntd {

std::string verdict_text(const Verdict& verdict, bool has_kafka) {
  std::string text = fmt::format("Redis     {} loot held, {} hunters in hunts\n", verdict.held_loot,
                                 verdict.sessions);
  if (has_kafka)
    text += fmt::format("Kafka     {} distinct events in {} records\n", verdict.kafka_events,
                        verdict.kafka_records);
  text += fmt::format("outbox    {} events\n", verdict.outbox_events);
  text += fmt::format("Postgres  {} loot in {} rows\n", verdict.row_loot, verdict.rows);
  if (verdict.forgotten > 0)
    text += fmt::format(
        "          {} rows, or their beginnings, are gone by aggregator.retention_days\n",
        verdict.forgotten);
  if (verdict.supplies > 0)
    text += fmt::format("supplies  {}, {} units reserved and not yet given\n", verdict.supplies,
                        verdict.supply_pending);
  for (const Difference& difference : verdict.differences) {
    text += difference.kind;
    if (!difference.hunter_id.empty()) text += " hunter " + difference.hunter_id;
    if (!difference.hunt_id.empty()) text += " hunt " + difference.hunt_id;
    text += ": " + difference.detail + "\n";
  }
  if (verdict.differences_total > verdict.differences.size())
    text += fmt::format("… and {} more\n", verdict.differences_total - verdict.differences.size());
  if (!verdict.agrees()) return text + fmt::format("{} differences\n", verdict.differences_total);
  if (verdict.waiting > 0)
    return text +
           fmt::format("agrees; {} events wait in the outbox for the table\n", verdict.waiting);
  return text + "agrees\n";
}

std::string verdict_json(const Verdict& verdict, bool has_kafka) {
  std::string json = fmt::format(
      R"({{"agrees":{},"settled":{},"sessions":{},"held_loot":{},"kafka_records":{},)"
      R"("kafka_events":{},"outbox_events":{},"rows":{},"row_loot":{},"forgotten":{},"waiting":{},"supplies":{},)"
      R"("supply_pending":{},"differences_total":{},"differences":[)",
      verdict.agrees(), verdict.settled(), verdict.sessions, verdict.held_loot,
      has_kafka ? std::to_string(verdict.kafka_records) : "null",
      has_kafka ? std::to_string(verdict.kafka_events) : "null", verdict.outbox_events,
      verdict.rows, verdict.row_loot, verdict.forgotten, verdict.waiting, verdict.supplies,
      verdict.supply_pending, verdict.differences_total);
  for (const Difference& difference : verdict.differences) {
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

}  // namespace huntd
