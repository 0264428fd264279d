// SPDX-License-Identifier: Apache-2.0
#include "drivers/kafka_properties.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>

#include "drivers/kafka_client.h"

namespace huntd {
namespace {

Config config_of(const std::string& text) {
  Result<Config> config = parse_config(text, "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  return *config;
}

// Empty if the config is accepted.
std::string fault_of(const std::string& text) {
  Result<void> const checked = check_kafka_properties(config_of(text));
  return checked ? "" : checked.error().message;
}

// A value as a client of this type has it.
std::string value_of(const Config& config, rd_kafka_type_t type, const char* name) {
  Result<rd_kafka_conf_t*> conf = kafka_conf(config.kafka, type, {{"client.id", "ours"}});
  REQUIRE_MESSAGE(conf, (conf ? "" : conf.error().message));
  char value[512] = "";
  size_t size = sizeof value;
  rd_kafka_conf_res_t const got = rd_kafka_conf_get(*conf, name, value, &size);
  rd_kafka_conf_destroy(*conf);
  return got == RD_KAFKA_CONF_OK ? value : "";
}

struct TempFile {
  std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("huntd-property-{}", getpid()))
          .string();
  explicit TempFile(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path) << text;
    REQUIRE(chmod(path.c_str(), mode) == 0);
  }
  ~TempFile() { std::filesystem::remove(path); }
};

TEST_CASE("any property that librdkafka documents for a client reaches that client") {
  Config const config = config_of(
      "[kafka]\nbootstrap = \"127.0.0.1:1\"\n"
      "[kafka.properties]\nsasl.username = \"eve\"\nclient.id = \"mine\"\nclient.rack = \"r\"\n"
      "[kafka.consumer]\nmax.poll.interval.ms = 600000\ngroup.instance.id = \"a\"\n"
      "client.rack = \"near\"\n"
      "[kafka.producer]\ncompression.type = \"zstd\"\npartitioner = \"murmur2\"\n");
  REQUIRE(check_kafka_properties(config));
  for (rd_kafka_type_t const type : {RD_KAFKA_CONSUMER, RD_KAFKA_PRODUCER}) {
    CHECK(value_of(config, type, "bootstrap.servers") == "127.0.0.1:1");
    CHECK(value_of(config, type, "sasl.username") == "eve");
    CHECK(value_of(config, type, "client.id") == "mine");
  }
  CHECK(value_of(config, RD_KAFKA_CONSUMER, "max.poll.interval.ms") == "600000");
  CHECK(value_of(config, RD_KAFKA_CONSUMER, "group.instance.id") == "a");
  CHECK(value_of(config, RD_KAFKA_CONSUMER, "client.rack") == "near");
  CHECK(value_of(config, RD_KAFKA_PRODUCER, "client.rack") == "r");
  CHECK(value_of(config, RD_KAFKA_PRODUCER, "compression.codec") == "zstd");
  CHECK(value_of(config, RD_KAFKA_CONSUMER, "compression.codec") == "none");
}

TEST_CASE("what a program fixes stays, also if the operator sets it") {
  Config const config = config_of("[kafka.properties]\nmessage.max.bytes = 2000\n");
  Result<rd_kafka_conf_t*> conf =
      kafka_conf(config.kafka, RD_KAFKA_PRODUCER, {}, {{"message.max.bytes", "3000"}});
  REQUIRE(conf);
  char value[32] = "";
  size_t size = sizeof value;
  CHECK(rd_kafka_conf_get(*conf, "message.max.bytes", value, &size) == RD_KAFKA_CONF_OK);
  CHECK(std::string(value) == "3000");
  rd_kafka_conf_destroy(*conf);
}

TEST_CASE("each property of the table is rejected with its reason") {
  std::vector<std::string_view> const consumer = kafka_property_names(RD_KAFKA_CONSUMER);
  std::vector<std::string_view> const producer = kafka_property_names(RD_KAFKA_PRODUCER);
  std::set<std::string_view> const for_consumers(consumer.begin(), consumer.end());
  std::set<std::string_view> const for_producers(producer.begin(), producer.end());
  REQUIRE(for_consumers.size() > 80);
  REQUIRE(for_producers.size() > 80);
  for (const RejectedProperty& row : rejected_kafka_properties()) {
    CAPTURE(std::string(row.name));
    std::string const name =
        row.name.ends_with('*') ? "test.mock.num.brokers" : std::string(row.name);
    std::string const text =
        fmt::format("[kafka.properties]\n\"{}\" = \"random cooperative\"\n", name);
    std::string const value = row.kind == RejectedProperty::Kind::never ? text
                              : name == "partitioner"
                                  ? "[kafka.properties]\npartitioner = \"random\"\n"
                                  : text;
    std::string const fault = fault_of(value);
    CHECK(fault.starts_with("h.toml:2: kafka.properties." + name + ": "));
    // A newer or older librdkafka may lack the property.
    if (fault.find("is not a property of librdkafka") == std::string::npos)
      CHECK(fault.ends_with(std::string(row.reason)));
    CHECK((row.kind == RejectedProperty::Kind::never) == (row.permits == nullptr));
  }
}

TEST_CASE("the value that a program sets anyway is accepted and changes nothing") {
  Config const config = config_of(
      "[kafka.producer]\nacks = \"all\"\nenable.idempotence = true\n"
      "[kafka.consumer]\n\"enable.auto.commit\" = false\nisolation.level = \"read_committed\"\n"
      "auto.offset.reset = \"earliest\"\n");
  CHECK(check_kafka_properties(config));
  // The sender of dead letters is not an idempotent producer.
  CHECK(value_of(config, RD_KAFKA_PRODUCER, "enable.idempotence") == "false");
  CHECK(fault_of(
            "[kafka.producer]\nmax.in.flight = 5\nretries = 3\npartitioner = \"murmur2_random\"\n")
            .empty());
  for (const char* wrong : {"max.in.flight = 6", "max.in.flight = 0", "max.in.flight = \"5x\"",
                            "retries = 0", "acks = 1", "acks = \"0\"", "acks = -2",
                            "enable.idempotence = false", "enable.idempotence = \"maybe\""})
    CHECK_MESSAGE(!fault_of(fmt::format("[kafka.producer]\n{}\n", wrong)).empty(), wrong);
}

TEST_CASE("unknown names, wrong sections and wrong values get their line and what to do") {
  CHECK(fault_of("[kafka.properties]\nsecurity.protcol = \"ssl\"\n") ==
        fmt::format("h.toml:2: kafka.properties.security.protcol: is not a property of librdkafka "
                    "{}; did you mean security.protocol?",
                    rd_kafka_version_str()));
  CHECK(fault_of("[kafka.consumer]\n\ncompression.type = \"lz4\"\n") ==
        "h.toml:3: kafka.consumer.compression.type: is a property of producers: set it in "
        "[kafka.producer]");
  CHECK(fault_of("[kafka.producer]\nmax.poll.interval.ms = 1000\n") ==
        "h.toml:2: kafka.producer.max.poll.interval.ms: is a property of consumers: set it in "
        "[kafka.consumer]");
  CHECK(fault_of("[kafka.properties]\nsecurity.protocol = \"sasl\"\n")
            .starts_with("h.toml:2: kafka.properties.security.protocol: librdkafka: "));
  CHECK(fault_of("[kafka.consumer]\nmax.poll.interval.ms = \"soon\"\n")
            .starts_with("h.toml:2: kafka.consumer.max.poll.interval.ms: librdkafka: "));
  // What only a program can set.
  CHECK(fault_of("[kafka.properties]\nlog_cb = \"x\"\n").find("librdkafka: ") != std::string::npos);
  // All at once.
  CHECK(fault_of("[kafka.properties]\nacks = 1\nnonesuch = 1\n").find('\n') != std::string::npos);
}

TEST_CASE("a secret is the first line of its file, and the file is private") {
  TempFile const file("tide\nsecond\n");
  std::string const text =
      fmt::format("[kafka.properties]\nsasl.password_file = \"{}\"\n", file.path);
  Config config = config_of(text);
  CHECK(value_of(config, RD_KAFKA_PRODUCER, "sasl.password") == "tide");  // read when it is needed
  REQUIRE(prepare_kafka_properties(config));
  CHECK(config.kafka.properties[0].value == "tide");
  std::filesystem::permissions(file.path, std::filesystem::perms(0644));
  Config again = config_of(text);
  Result<void> const rejected = prepare_kafka_properties(again);
  REQUIRE_FALSE(rejected);
  CHECK(rejected.error().message.find("kafka.properties.sasl.password_file") == 0);
  CHECK(rejected.error().message.find("chmod") != std::string::npos);
  CHECK(rejected.error().message.find("tide") == std::string::npos);
}

TEST_CASE("a value from a file is checked like any other") {
  TempFile const file("1\n");
  Config config = config_of(fmt::format("[kafka.producer]\nacks_file = \"{}\"\n", file.path));
  Result<void> const rejected = prepare_kafka_properties(config);
  REQUIRE_FALSE(rejected);
  CHECK(
      rejected.error().message.starts_with("h.toml:2: kafka.producer.acks_file: must be \"all\""));
}

TEST_CASE("the whole is checked by librdkafka without a connection") {
  Config missing = config_of(
      "[kafka]\nbootstrap = \"127.0.0.1:1\"\n"
      "[kafka.properties]\nsecurity.protocol = \"ssl\"\nssl.ca.location = \"/nonexistent/ca.pem\"\n");
  Result<void> const rejected = prepare_kafka_properties(missing);
  REQUIRE_FALSE(rejected);
  CHECK(rejected.error().message.find("ssl.ca.location") != std::string::npos);
  // Less than session.timeout.ms.
  Config poll = config_of("[kafka.consumer]\nmax.poll.interval.ms = 2000\n");
  CHECK_FALSE(prepare_kafka_properties(poll));
  Config good = config_of(
      "[kafka.properties]\nsecurity.protocol = \"sasl_ssl\"\nsasl.mechanism = \"SCRAM-SHA-256\"\n"
      "sasl.username = \"a\"\nsasl.password = \"b\"\n");
  Result<void> const accepted = prepare_kafka_properties(good);
  CHECK_MESSAGE(accepted, (accepted ? "" : accepted.error().message));
}

TEST_CASE("the newest fault of a connection explains an error, and a certificate says more") {
  CHECK(kafka_error("x", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).message.find("expired") ==
        std::string::npos);
  remember_kafka_line(nullptr, 3, "FAIL", "[thrd:a:1/bootstrap]: a:1/bootstrap: it timed out");
  CHECK(kafka_fault() == ": a:1/bootstrap: it timed out");
  remember_kafka_line(nullptr, 3, "SSLCERTVRFY", "[thrd:a:1/1]: a:1/1: it has expired");
  remember_kafka_line(nullptr, 3, "FAIL", "[thrd:a:1/1]: a:1/1: certificate verify failed: see CA");
  CHECK(kafka_fault() == ": a:1/1: it has expired");
  CHECK(kafka_error("metadata", RD_KAFKA_RESP_ERR__TRANSPORT).message.ends_with("it has expired"));
  CHECK(kafka_error("metadata", RD_KAFKA_RESP_ERR__TRANSPORT).kind == ErrorKind::unreachable);
  CHECK(kafka_error("x", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).message.find("expired") ==
        std::string::npos);
  remember_kafka_line(nullptr, 3, "ERROR", "1/1 brokers are down");
  CHECK(kafka_fault() == ": a:1/1: it has expired");
  remember_kafka_line(nullptr, 3, "FAIL", "a:1/1: SASL authentication error");
  CHECK(kafka_fault() == ": a:1/1: SASL authentication error");
}

TEST_CASE("docs/configuration.md names every property that is rejected") {
  std::ifstream file(std::string(std::getenv("HUNTD_SOURCE_ROOT")) + "/docs/configuration.md");
  std::string const text{std::istreambuf_iterator<char>(file), {}};
  for (const RejectedProperty& row : rejected_kafka_properties())
    CHECK_MESSAGE(text.find(fmt::format("`{}`", row.name)) != std::string::npos,
                  std::string(row.name));
}

}  // namespace
}  // namespace huntd
