#include "aggregator/kafka_client.h"

#include "base/limits.h"

namespace huntd {

Error kafka_error(const std::string& what, rd_kafka_resp_err_t error) {
  return Error{"kafka: " + what + ": " + rd_kafka_err2str(error)};
}

Result<rd_kafka_conf_t*> kafka_conf(
    std::initializer_list<std::pair<const char*, std::string>> settings) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  auto const fails = [&](const char* key, const std::string& value) {
    return rd_kafka_conf_set(conf, key, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK;
  };
  bool failed = fails("reconnect.backoff.max.ms", std::to_string(limits::kafka_reconnect_ms_max));
  for (const auto& [key, value] : settings) failed = failed || fails(key, value);
  if (failed) {
    rd_kafka_conf_destroy(conf);
    return Error{std::string("kafka: ") + text};
  }
  return conf;
}

Result<rd_kafka_t*> kafka_client(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char text[512];
  rd_kafka_t* client = rd_kafka_new(type, conf, text, sizeof text);
  if (client == nullptr) {
    rd_kafka_conf_destroy(conf);
    return Error{std::string("kafka: ") + text};
  }
  if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(client);
  return client;
}

}  // namespace huntd
