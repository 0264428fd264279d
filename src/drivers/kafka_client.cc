// SPDX-License-Identifier: Apache-2.0
#include "drivers/kafka_client.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"

namespace huntd {
namespace {

constexpr int warning_level = static_cast<int>(log::Level::warning);  // levels are syslog's in both

}  // namespace

Error kafka_error(std::string_view what, rd_kafka_resp_err_t error) {
  return Error{fmt::format("kafka: {}: {}", what, rd_kafka_err2str(error))};
}

Result<rd_kafka_conf_t*> kafka_conf(
    std::initializer_list<std::pair<const char*, std::string>> properties) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  auto const fails = [&](const char* name, const std::string& value) {
    return rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK;
  };
  bool failed = fails("reconnect.backoff.max.ms", std::to_string(limits::kafka_reconnect_ms_max));
  for (const auto& [name, value] : properties) failed = failed || fails(name, value);
  if (failed) {
    rd_kafka_conf_destroy(conf);
    return Error{fmt::format("kafka: {}", text)};
  }
  rd_kafka_conf_set_log_cb(conf, &log_kafka_line);
  return conf;
}

Result<rd_kafka_t*> kafka_client(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char text[512];
  rd_kafka_t* client = rd_kafka_new(type, conf, text, sizeof text);
  if (client == nullptr) {
    rd_kafka_conf_destroy(conf);
    return Error{fmt::format("kafka: {}", text)};
  }
  if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(client);
  return client;
}

void log_kafka_line(const rd_kafka_t*, int level, const char* facility, const char* text) {
  log::write(level <= warning_level ? log::Level::warning : log::Level::info, "librdkafka",
             {{"facility", facility}, {"detail", text}});
}

void log_kafka_line(rd_kafka_event_t* event) {
  const char* facility = "";
  const char* text = "";
  int level = 0;
  if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
    log_kafka_line(nullptr, level, facility, text);
}

}  // namespace huntd
