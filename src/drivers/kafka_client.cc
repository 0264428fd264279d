// SPDX-License-Identifier: Apache-2.0
#include "drivers/kafka_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "drivers/driver_limits.h"
#include "drivers/kafka_properties.h"

namespace huntd {
namespace {

constexpr int error_level = static_cast<int>(log::Level::error);  // levels are syslog's in both
constexpr int warning_level = static_cast<int>(log::Level::warning);
constexpr std::string_view certificate_facility = "SSLCERTVRFY";
constexpr size_t repeated_max = 16;  // different lines that are known for repeats

// What librdkafka has logged of its connections.
struct Faults {
  struct Line {
    std::string text;
    int64_t logged_at_ms;
  };
  std::mutex mutex;
  std::string text;
  int64_t at_ms = 0;
  bool of_certificate = false;
  std::vector<Line> lines;  // of certificates; librdkafka itself suppresses repeats of the others
};

// Never destroyed: librdkafka's threads may still log while the process exits.
Faults& faults() {
  static Faults& all = *new Faults;
  return all;
}

// Without "[thrd:NAME]: ", the thread.
std::string_view without_thread(std::string_view text) {
  size_t const end = text.find("]: ");
  return text.starts_with("[thrd:") && end != text.npos ? text.substr(end + 3) : text;
}

bool is_repeat(Faults& known, std::string_view text, int64_t now_ms) {
  auto line = std::ranges::find(known.lines, text, &Faults::Line::text);
  if (line != known.lines.end() && now_ms - line->logged_at_ms < limits::kafka_fault_repeat_ms)
    return true;
  if (line == known.lines.end() && known.lines.size() == repeated_max)
    line = std::ranges::min_element(known.lines, {}, &Faults::Line::logged_at_ms);
  if (line == known.lines.end())
    known.lines.push_back({std::string(text), now_ms});
  else
    *line = {std::string(text), now_ms};
  return false;
}

// Remembers the line if it is a fault of a connection. Returns false if it need not be logged.
bool remember(int level, std::string_view facility, std::string_view line) {
  bool const of_certificate = facility == certificate_facility;
  if (level > error_level || !(of_certificate || facility == "FAIL")) return true;
  Faults& known = faults();
  int64_t const now_ms = monotonic_ms();
  std::string_view const text = without_thread(line);
  std::lock_guard const lock(known.mutex);
  // The failed handshake that follows says less.
  bool const says_less = !of_certificate && known.of_certificate &&
                         now_ms - known.at_ms < limits::kafka_fault_repeat_ms &&
                         text.find("certificate verify failed") != text.npos;
  if (!says_less) {
    known.text = text;
    known.at_ms = now_ms;
    known.of_certificate = of_certificate;
  }
  return !of_certificate || !is_repeat(known, text, now_ms);
}

// Why OpenSSL rejects a certificate (X509_V_ERR_…), in words.
const char* certificate_fault(int error) {
  switch (error) {
    case 2:
    case 20:
    case 21:
      return "no CA in ssl.ca.location has issued it";
    case 7:
      return "its signature is wrong";
    case 9:
      return "it is not valid yet: compare the clocks";
    case 10:
      return "it has expired";
    case 18:
    case 19:
      return "it is signed by itself, and not in ssl.ca.location";
    case 23:
      return "it is revoked";
    case 62:
      return "it is for another host name than the one in kafka.bootstrap or the one that the broker "
             "advertises";
    case 64:
      return "it is for another IP address than the one in kafka.bootstrap or the one that the broker "
             "advertises";
    default:
      return nullptr;
  }
}

// Accepts what OpenSSL accepts. It is here for its text: librdkafka says the same sentence of each
// certificate that is rejected, and this one says why.
int verify_certificate(rd_kafka_t*, const char*, int32_t, int* error, int, const char*, size_t,
                       char* text, size_t size, void*) {
  if (*error == 0) return 1;
  const char* const fault = certificate_fault(*error);
  if (fault != nullptr)
    std::snprintf(text, size, "%s", fault);
  else
    std::snprintf(text, size, "OpenSSL's error %d", *error);
  return 0;
}

// Tokens are fetched in a thread of librdkafka, because the programs do not poll for that.
bool uses_tokens(const rd_kafka_conf_t* conf) {
  char mechanism[64] = "";
  size_t size = sizeof mechanism;
  return rd_kafka_conf_get(conf, "sasl.mechanisms", mechanism, &size) == RD_KAFKA_CONF_OK &&
         std::strcmp(mechanism, "OAUTHBEARER") == 0;
}

// Whether the error says only that no broker answers.
bool needs_reason(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return true;
    default:
      return false;
  }
}

bool is_rejected_login(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return true;
    default:
      return false;
  }
}

}  // namespace

Error kafka_error(std::string_view what, rd_kafka_resp_err_t error) {
  bool const unreachable = needs_reason(error);
  return Error{fmt::format("kafka: {}: {}{}", what, rd_kafka_err2str(error),
                           unreachable ? kafka_fault() : ""),
               unreachable || is_rejected_login(error) ? ErrorKind::unreachable : ErrorKind::other};
}

std::string kafka_fault() {
  Faults& known = faults();
  std::lock_guard const lock(known.mutex);
  bool const recent =
      !known.text.empty() && monotonic_ms() - known.at_ms < limits::kafka_fault_valid_ms;
  return recent ? ": " + known.text : "";
}

Result<rd_kafka_conf_t*> kafka_conf(const Config::Kafka& kafka, rd_kafka_type_t type,
                                    KafkaPropertyList properties, KafkaPropertyList fixed) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  Result<void> set;
  auto const add = [&](const char* name, const std::string& value) {
    char text[512];
    if (set && rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK)
      set = Error{fmt::format("kafka: {}", text)};
  };
  add("reconnect.backoff.max.ms", std::to_string(limits::kafka_reconnect_ms_max));
  if (!kafka.bootstrap.empty()) add("bootstrap.servers", kafka.bootstrap);
  // Every consumer the same, also one that joins no group: librdkafka compares it with the
  // operator's max.poll.interval.ms.
  if (type == RD_KAFKA_CONSUMER)
    add("session.timeout.ms", std::to_string(limits::kafka_session_ms));
  for (const auto& [name, value] : properties) add(name, value);
  if (set) set = set_kafka_properties(conf, kafka, type);
  for (const auto& [name, value] : fixed) add(name, value);
  if (!set) {
    rd_kafka_conf_destroy(conf);
    return set.error();
  }
  rd_kafka_conf_set_log_cb(conf, &log_kafka_line);
  // It fails if TLS is not built in, and then there is no certificate either.
  rd_kafka_conf_set_ssl_cert_verify_cb(conf, &verify_certificate);
  if (uses_tokens(conf)) rd_kafka_conf_enable_sasl_queue(conf, 1);
  return conf;
}

Result<rd_kafka_t*> kafka_client(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char text[512];
  bool const tokens = uses_tokens(conf);
  rd_kafka_t* client = rd_kafka_new(type, conf, text, sizeof text);
  if (client == nullptr) {
    rd_kafka_conf_destroy(conf);
    return Error{fmt::format("kafka: {}", text)};
  }
  if (rd_kafka_error_t* error =
          tokens ? rd_kafka_sasl_background_callbacks_enable(client) : nullptr) {
    Error const fault{fmt::format("kafka: {}", rd_kafka_error_string(error))};
    rd_kafka_error_destroy(error);
    rd_kafka_destroy(client);
    return fault;
  }
  if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(client);
  return client;
}

void log_kafka_line(const rd_kafka_t*, int level, const char* facility, const char* text) {
  if (!remember(level, facility, text)) return;
  log::write(level <= warning_level ? log::Level::warning : log::Level::info, "librdkafka",
             {{"facility", facility}, {"detail", text}});
}

void remember_kafka_line(const rd_kafka_t* client, int level, const char* facility,
                         const char* text) {
  if (level > error_level)
    log_kafka_line(client, level, facility, text);
  else
    remember(level, facility, text);
}

void log_kafka_line(rd_kafka_event_t* event) {
  const char* facility = "";
  const char* text = "";
  int level = 0;
  if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
    log_kafka_line(nullptr, level, facility, text);
}

}  // namespace huntd
