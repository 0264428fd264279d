// SPDX-License-Identifier: Apache-2.0
// mock_kafka FILE TOPIC...: librdkafka's mock cluster as a server, for hosts without Apache Kafka.
// Writes the brokers' addresses to FILE once they accept connections; ends with SIGTERM and keeps
// no data. For each SIGUSR1 it rejects one Produce request with OUT_OF_ORDER_SEQUENCE_NUMBER, which
// is fatal to an idempotent producer if no earlier request is in flight.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr int brokers = 1;
constexpr int partitions = 8;
constexpr int16_t produce_api_key = 0;  // kafka.apache.org/protocol, "API Keys"

int fail(const char* what, const char* error) {
  std::fprintf(stderr, "mock_kafka: %s: %s\n", what, error);
  return EXIT_FAILURE;
}

// Written under another name first, so that a reader never sees a part of it.
bool write_whole(const std::string& path, const char* text) {
  std::string const part = path + ".part";
  std::FILE* file = std::fopen(part.c_str(), "w");
  if (file == nullptr) return false;
  bool fine = std::fputs(text, file) >= 0;
  fine = std::fclose(file) == 0 && fine;
  return fine && std::rename(part.c_str(), path.c_str()) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: mock_kafka FILE TOPIC...\n", stderr);
    return 2;
  }
  // Before librdkafka starts threads, so that they inherit the mask and sigwait() gets the signals.
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  sigaddset(&awaited, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &awaited, nullptr);

  char error_text[512];
  rd_kafka_t* client =
      rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), error_text, sizeof error_text);
  if (client == nullptr) return fail("librdkafka", error_text);
  rd_kafka_mock_cluster_t* cluster = rd_kafka_mock_cluster_new(client, brokers);
  if (cluster == nullptr) return fail("mock cluster", "cannot be created");
  for (int i = 2; i < argc; ++i) {
    rd_kafka_resp_err_t const error =
        rd_kafka_mock_topic_create(cluster, argv[i], partitions, brokers);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(argv[i], rd_kafka_err2str(error));
  }
  if (!write_whole(argv[1], rd_kafka_mock_cluster_bootstraps(cluster)))
    return fail(argv[1], "cannot be written");

  for (int signal_number = 0; sigwait(&awaited, &signal_number) == 0 && signal_number == SIGUSR1;)
    rd_kafka_mock_push_request_errors(cluster, produce_api_key, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(client);
  return EXIT_SUCCESS;
}
