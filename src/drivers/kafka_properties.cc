// SPDX-License-Identifier: Apache-2.0
#include "drivers/kafka_properties.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "base/check.h"
#include "base/log.h"
#include "base/private_file.h"
#include "drivers/driver_limits.h"
#include "drivers/kafka_client.h"

namespace huntd {
namespace {

using Kind = RejectedProperty::Kind;
using Conf = std::unique_ptr<rd_kafka_conf_t, void (*)(rd_kafka_conf_t*)>;

bool is_true(std::string_view value) { return value == "true" || value == "1" || value == "t"; }
bool is_false(std::string_view value) { return value == "false" || value == "0" || value == "f"; }

bool is_from_to(std::string_view value, int64_t min, int64_t max) {
  int64_t number = 0;
  auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  return error == std::errc() && end == value.data() + value.size() && number >= min &&
         number <= max;
}

bool is_any_of(std::string_view value, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, value) != words.end();
}

// clang-format off
constexpr const char* acks_reason =
    "an event leaves the outbox once Kafka has acknowledged it, so all in-sync replicas must have it";
constexpr const char* in_flight_reason = "more would let a retry change the order of a hunter's events";
constexpr const char* retries_reason = "the events of a batch that failed once would wait for the sweep";
constexpr const char* commit_reason =
    "the aggregator commits an offset after its events are in the table; else a crash would lose events";
constexpr const char* refresh_reason = "the aggregator finds added partitions by it";

bool permits_acks(std::string_view v) { return v == "all" || v == "-1"; }
bool permits_in_flight(std::string_view v) { return is_from_to(v, 1, 5); }
bool permits_retries(std::string_view v) { return is_from_to(v, 1, INT64_MAX); }
bool permits_refresh(std::string_view v) { return is_from_to(v, 1, limits::kafka_refresh_ms_max); }

constexpr RejectedProperty rejected_table[] = {
    // What a config key sets.
    {"bootstrap.servers", Kind::never, "", nullptr, "set kafka.bootstrap"},
    {"metadata.broker.list", Kind::never, "", nullptr, "set kafka.bootstrap"},
    {"group.id", Kind::never, "", nullptr, "set aggregator.group"},
    {"linger.ms", Kind::never, "", nullptr, "set kafka.linger_ms"},
    {"queue.buffering.max.ms", Kind::never, "", nullptr, "set kafka.linger_ms"},
    {"queue.buffering.max.messages", Kind::never, "", nullptr, "set kafka.queue_messages_max"},
    {"delivery.timeout.ms", Kind::never, "", nullptr, "set kafka.delivery_timeout_ms"},
    {"message.timeout.ms", Kind::never, "", nullptr, "set kafka.delivery_timeout_ms"},
    // No event is lost, and each is in the topic in its hunter's order.
    {"acks", Kind::fixed, "\"all\"", permits_acks, acks_reason},
    {"request.required.acks", Kind::fixed, "\"all\"", permits_acks, acks_reason},
    {"enable.idempotence", Kind::fixed, "true", is_true,
     "without it a retry may store an event twice or change the order of a hunter's events"},
    {"enable.gapless.guarantee", Kind::fixed, "false", is_false,
     "an event that is not acknowledged in time would end the producer; the sweep emits it again"},
    {"max.in.flight", Kind::limited, "1 to 5", permits_in_flight, in_flight_reason},
    {"max.in.flight.requests.per.connection", Kind::limited, "1 to 5", permits_in_flight,
     in_flight_reason},
    {"retries", Kind::limited, "1 or more", permits_retries, retries_reason},
    {"message.send.max.retries", Kind::limited, "1 or more", permits_retries, retries_reason},
    {"transactional.id", Kind::never, "", nullptr,
     "huntd begins no transaction, and a transactional producer sends nothing outside of one"},
    {"partitioner", Kind::limited, "one that goes by the record key, such as \"murmur2\"",
     [](std::string_view v) { return v != "random"; },
     "a hunter's events would be in several partitions and lose their order"},
    {"queuing.strategy", Kind::fixed, "\"fifo\"", [](std::string_view v) { return v == "fifo"; },
     "it would change the order of a hunter's events"},
    {"delivery.report.only.error", Kind::fixed, "false", is_false,
     "an event leaves the outbox by the report that it was stored"},
    // The aggregator counts each event, once.
    {"enable.auto.commit", Kind::fixed, "false", is_false, commit_reason},
    {"auto.commit.enable", Kind::fixed, "false", is_false, commit_reason},
    {"enable.auto.offset.store", Kind::fixed, "false", is_false, commit_reason},
    {"offset.store.method", Kind::fixed, "\"broker\"",
     [](std::string_view v) { return v == "broker"; }, commit_reason},
    {"auto.offset.reset", Kind::fixed, "\"earliest\"",
     [](std::string_view v) { return is_any_of(v, {"earliest", "smallest", "beginning"}); },
     "a new group, or one whose offset is gone, would skip events"},
    {"enable.partition.eof", Kind::fixed, "true", is_true,
     "the end of a partition says that the table is up to date"},
    {"isolation.level", Kind::fixed, "\"read_committed\"",
     [](std::string_view v) { return v == "read_committed"; },
     "the records of an aborted transaction are not events"},
    {"partition.assignment.strategy", Kind::limited, "\"range\", \"roundrobin\" or both",
     [](std::string_view v) { return v.find("cooperative") == std::string_view::npos; },
     "the aggregator gives its partitions back all at once"},
    {"group.protocol", Kind::fixed, "\"classic\"", [](std::string_view v) { return v == "classic"; },
     "the aggregator gives its partitions back all at once"},
    {"topic.blacklist", Kind::never, "", nullptr, "the topics are kafka.topic and kafka.dead_topic"},
    {"allow.auto.create.topics", Kind::limited, "false", is_false,
     "a topic that was deleted would be made again, without a word and with the broker's defaults"},
    {"topic.metadata.refresh.interval.ms", Kind::limited, "1 to 15000", permits_refresh,
     refresh_reason},
    // What the programs rely on.
    {"api.version.request", Kind::fixed, "true", is_true, "headers and idempotence need it"},
    {"log.queue", Kind::never, "", nullptr, "the lines of librdkafka would not be logged"},
    {"enabled_events", Kind::never, "", nullptr, "the programs choose which events they handle"},
    {"internal.termination.signal", Kind::never, "", nullptr, "the signal would end the process"},
    {"builtin.features", Kind::never, "", nullptr, "it says how librdkafka was built"},
    {"plugin.library.paths", Kind::never, "", nullptr, "it loads code into the process"},
    {"ssl.engine.location", Kind::never, "", nullptr, "it loads code into the process"},
    {"test.*", Kind::never, "", nullptr, "events would go to brokers that do not exist"},
};
// clang-format on

const RejectedProperty* rejected_row(std::string_view name) {
  for (const RejectedProperty& row : rejected_table) {
    bool const is_prefix = row.name.ends_with('*');
    std::string_view const text = row.name.substr(0, row.name.size() - (is_prefix ? 1 : 0));
    if (is_prefix ? name.starts_with(text) : name == text) return &row;
  }
  return nullptr;
}

// Which clients a property is for.
struct Scope {
  bool consumer = false;
  bool producer = false;
};

bool applies(Scope scope, rd_kafka_type_t type) {
  return type == RD_KAFKA_CONSUMER ? scope.consumer : scope.producer;
}

std::string_view trimmed(std::string_view text) {
  size_t const first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// librdkafka's own reference, a table in Markdown: "NAME | C/P | RANGE | ...". A property of a topic
// may have the name of a global one.
std::map<std::string, Scope, std::less<>> read_scopes() {
  char* text = nullptr;
  size_t size = 0;
  FILE* const file = open_memstream(&text, &size);
  CHECK(file != nullptr);
  rd_kafka_conf_properties_show(file);
  fclose(file);
  std::map<std::string, Scope, std::less<>> scopes;
  std::string_view rest(text, size);
  while (!rest.empty()) {
    size_t const end = std::min(rest.find('\n'), rest.size() - 1);
    std::string_view const line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    size_t const first = line.find('|');
    size_t const second = first == line.npos ? line.npos : line.find('|', first + 1);
    if (second == line.npos) continue;
    std::string_view const who = trimmed(line.substr(first + 1, second - first - 1));
    if (who != "*" && who != "C" && who != "P") continue;
    Scope& scope = scopes[std::string(trimmed(line.substr(0, first)))];
    scope.consumer = scope.consumer || who != "P";
    scope.producer = scope.producer || who != "C";
  }
  std::free(text);
  return scopes;
}

const std::map<std::string, Scope, std::less<>>& scopes() {
  static const std::map<std::string, Scope, std::less<>> all = read_scopes();
  return all;
}

// A property that librdkafka does not document is left to rd_kafka_conf_set().
Scope scope_of(std::string_view name) {
  auto const found = scopes().find(name);
  return found == scopes().end() ? Scope{true, true} : found->second;
}

std::string nearest_name(std::string_view unknown, Scope wanted) {
  std::vector<std::string_view> names;
  for (const auto& [name, scope] : scopes())
    if ((wanted.consumer && scope.consumer) || (wanted.producer && scope.producer))
      names.push_back(name);
  return nearest_of(unknown, names);
}

struct Section {
  std::string_view name;
  const std::vector<KafkaProperty>& properties;
  Scope scope;
};

std::vector<Section> sections_of(const Config::Kafka& kafka) {
  return {{"kafka.properties", kafka.properties, {true, true}},
          {"kafka.consumer", kafka.consumer, {true, false}},
          {"kafka.producer", kafka.producer, {false, true}}};
}

// What is wrong with a value; empty if nothing is. `conf` is changed.
std::string value_fault(rd_kafka_conf_t* conf, const KafkaProperty& property) {
  if (const RejectedProperty* row = rejected_row(property.name); row != nullptr)
    if (row->permits != nullptr && !row->permits(property.value))
      return fmt::format("must be {}: {}", row->wanted, row->reason);
  char text[512] = "";
  if (rd_kafka_conf_set(conf, property.name.c_str(), property.value.c_str(), text, sizeof text) ==
      RD_KAFKA_CONF_OK)
    return "";
  return fmt::format("librdkafka: {}", text);
}

// What is wrong with a property in its section, apart from its value.
std::string name_fault(rd_kafka_conf_t* conf, const KafkaProperty& property, Scope section) {
  if (const RejectedProperty* row = rejected_row(property.name);
      row != nullptr && row->kind == Kind::never)
    return fmt::format("cannot be set: {}", row->reason);
  char text[512] = "";
  if (scopes().find(property.name) == scopes().end() &&
      rd_kafka_conf_set(conf, property.name.c_str(), "", text, sizeof text) ==
          RD_KAFKA_CONF_UNKNOWN)
    return fmt::format("is not a property of librdkafka {}; did you mean {}?",
                       rd_kafka_version_str(), nearest_name(property.name, section));
  Scope const scope = scope_of(property.name);
  if (!scope.consumer && !section.producer)
    return "is a property of producers: set it in [kafka.producer]";
  if (!scope.producer && !section.consumer)
    return "is a property of consumers: set it in [kafka.consumer]";
  return "";
}

void add_problem(std::string& problems, const Config& config, const KafkaProperty& property,
                 const std::string& fault) {
  if (fault.empty()) return;
  auto const origin = config.origin.find(property.key);
  if (!problems.empty()) problems.push_back('\n');
  problems += fmt::format("{}{}: {}", origin == config.origin.end() ? "" : origin->second + ": ",
                          property.key, fault);
}

Result<std::string> read_value(const KafkaProperty& property) {
  // A certificate or a key has several lines.
  if (property.name.ends_with(".pem"))
    return read_private_file(property.file, property.key.c_str(), PrivateFile::regular);
  return read_secret(property.file, property.key.c_str());
}

// Kafka 4 checks what librdkafka sent wrongly before 2.6.1, and reports a wrong password.
void warn_of_old_scram(const Config& config) {
  constexpr int first_right = 0x020601ff;
  if (rd_kafka_version() >= first_right) return;
  for (const Section& section : sections_of(config.kafka))
    for (const KafkaProperty& property : section.properties)
      if (property.name.starts_with("sasl.mechanism") && property.value.starts_with("SCRAM"))
        log::warning("this librdkafka cannot log in to Kafka 4.0 or later by SCRAM",
                     {{"key", property.key},
                      {"version", rd_kafka_version_str()},
                      {"hint", "use PLAIN over TLS there, or librdkafka 2.6.1 or later"}});
}

// What librdkafka says of a client with these properties; no connection is made.
Result<void> try_client(const Config& config, rd_kafka_type_t type) {
  Config::Kafka kafka = config.kafka;
  kafka.bootstrap.clear();
  Result<rd_kafka_conf_t*> conf =
      type == RD_KAFKA_CONSUMER
          ? kafka_conf(kafka, type, {{"group.id", config.aggregator.group}})
          : kafka_conf(kafka, type,
                       {{"enable.idempotence", "true"},
                        {"linger.ms", std::to_string(kafka.linger_ms)},
                        {"delivery.timeout.ms", std::to_string(kafka.delivery_timeout_ms)}});
  if (!conf) return conf.error();
  // It has no brokers, and its warnings come again from the clients that are used.
  rd_kafka_conf_set_log_cb(*conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  // Not to be run for a check; it fails if Kerberos is not built in, and then nothing is run.
  rd_kafka_conf_set(*conf, "sasl.kerberos.kinit.cmd", "true", nullptr, 0);
  Result<rd_kafka_t*> client = kafka_client(type, *conf);
  if (!client) return client.error();
  rd_kafka_destroy(*client);
  return {};
}

}  // namespace

std::span<const RejectedProperty> rejected_kafka_properties() { return rejected_table; }

std::vector<std::string_view> kafka_property_names(rd_kafka_type_t type) {
  std::vector<std::string_view> names;
  for (const auto& [name, scope] : scopes())
    if (applies(scope, type)) names.push_back(name);
  return names;
}

Result<void> check_kafka_properties(const Config& config) {
  std::string problems;
  Conf const conf(rd_kafka_conf_new(), &rd_kafka_conf_destroy);
  for (const Section& section : sections_of(config.kafka))
    for (const KafkaProperty& property : section.properties) {
      std::string fault = name_fault(conf.get(), property, section.scope);
      bool const has_value = property.file.empty() || !property.value.empty();
      if (fault.empty() && has_value) fault = value_fault(conf.get(), property);
      add_problem(problems, config, property, fault);
    }
  if (!problems.empty()) return Error{problems};
  return {};
}

Result<void> prepare_kafka_properties(Config& config) {
  Config::Kafka& kafka = config.kafka;
  if (kafka.properties.empty() && kafka.consumer.empty() && kafka.producer.empty()) return {};
  if (Result<void> checked = check_kafka_properties(config); !checked) return checked;
  for (std::vector<KafkaProperty>* section : {&kafka.properties, &kafka.consumer, &kafka.producer})
    for (KafkaProperty& property : *section) {
      if (property.file.empty()) continue;
      Result<std::string> value = read_value(property);
      if (!value) return value.error();
      property.value = std::move(*value);
    }
  // Once more, for the values that were in files.
  if (Result<void> checked = check_kafka_properties(config); !checked) return checked;
  warn_of_old_scram(config);
  for (rd_kafka_type_t const type : {RD_KAFKA_CONSUMER, RD_KAFKA_PRODUCER})
    if (Result<void> tried = try_client(config, type); !tried)
      return Error{fmt::format("[kafka.properties], [kafka.{}]: {}",
                               type == RD_KAFKA_CONSUMER ? "consumer" : "producer",
                               tried.error().message)};
  return {};
}

Result<void> set_kafka_properties(rd_kafka_conf_t* conf, const Config::Kafka& kafka,
                                  rd_kafka_type_t type) {
  const auto& own = type == RD_KAFKA_CONSUMER ? kafka.consumer : kafka.producer;
  for (const std::vector<KafkaProperty>* section : {&kafka.properties, &own})
    for (const KafkaProperty& property : *section) {
      const RejectedProperty* const row = rejected_row(property.name);
      bool const is_ours = row != nullptr && row->kind != Kind::limited;
      if (is_ours || !applies(scope_of(property.name), type)) continue;
      KafkaProperty set = property;
      if (!set.file.empty() && set.value.empty()) {
        Result<std::string> value = read_value(set);
        if (!value) return value.error();
        set.value = std::move(*value);
      }
      if (std::string const fault = value_fault(conf, set); !fault.empty())
        return Error{fmt::format("{}: {}", set.key, fault)};
    }
  return {};
}

}  // namespace huntd
