// mock_kafka FILE TOPIC...: librdkafka's mock cluster as a server of its own, for machines where
// Apache Kafka can't be had. Writes the brokers' addresses to FILE once they answer; ends with
// SIGTERM. Nothing outlives it. With each SIGUSR1 it refuses one Produce request, with
// OUT_OF_ORDER_SEQUENCE_NUMBER: to an idempotent producer that is fatal where nothing before that
// request is under way.
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

int fail(const char* what, const char* why) {
  std::fprintf(stderr, "mock_kafka: %s: %s\n", what, why);
  return EXIT_FAILURE;
}

// Under another name first: a reader never sees half an address.
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
  // Before librdkafka's threads exist, so that they inherit the mask and sigwait below gets the
  // signals.
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  sigaddset(&awaited, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &awaited, nullptr);

  char why[512];
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why);
  if (client == nullptr) return fail("librdkafka", why);
  rd_kafka_mock_cluster_t* cluster = rd_kafka_mock_cluster_new(client, brokers);
  if (cluster == nullptr) return fail("the mock cluster", "can't be made");
  for (int i = 2; i < argc; ++i) {
    rd_kafka_resp_err_t const error =
        rd_kafka_mock_topic_create(cluster, argv[i], partitions, brokers);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return fail(argv[i], rd_kafka_err2str(error));
  }
  if (!write_whole(argv[1], rd_kafka_mock_cluster_bootstraps(cluster)))
    return fail(argv[1], "can't be written");

  for (int signal_number = 0; sigwait(&awaited, &signal_number) == 0 && signal_number == SIGUSR1;)
    rd_kafka_mock_push_request_errors(cluster, produce_api_key, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(client);
  return EXIT_SUCCESS;
}
