// SPDX-License-Identifier: Apache-2.0
// kafka_topic BOOTSTRAP COMMAND TOPIC ...: what the tests do to a topic, by librdkafka alone.
//   create TOPIC PARTITIONS [NAME=VALUE]...    waits if a topic of this name is being deleted
//   make TOPIC PARTITIONS                      does nothing if there is one
//   delete TOPIC
//   add-partitions TOPIC NEW_COUNT
//   delete-records TOPIC PARTITION OFFSET      removes the records before OFFSET
//   transaction TOPIC commit|abort FILE        produces each line of FILE, "KEY<tab>VALUE", in one
//     transaction; writes "open" when the brokers have all, and ends it at the end of stdin
//   committed TOPIC GROUP PARTITION            writes "OFFSET METADATA" of the group
//   commit TOPIC GROUP PARTITION OFFSET [METADATA]   for a group without members
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr int timeout_ms = 30'000;
constexpr auto pause = std::chrono::milliseconds(100);
constexpr auto patience = std::chrono::seconds(60);

using Queue = std::unique_ptr<rd_kafka_queue_t, void (*)(rd_kafka_queue_t*)>;
using Event = std::unique_ptr<rd_kafka_event_t, void (*)(rd_kafka_event_t*)>;

int fail(const std::string& what, const char* error) {
  std::fprintf(stderr, "kafka_topic: %s: %s\n", what.c_str(), error == nullptr ? "?" : error);
  return EXIT_FAILURE;
}

rd_kafka_t* open(const std::string& bootstrap, bool transactional) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), text, sizeof text);
  if (transactional) rd_kafka_conf_set(conf, "transactional.id", "tests", text, sizeof text);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
  if (client == nullptr) fail("librdkafka", text);
  return client;
}

// The error of the operation's reply, or of the one topic in it; 0 if it is done.
rd_kafka_resp_err_t outcome(rd_kafka_event_t* event) {
  if (rd_kafka_event_error(event) != 0) return rd_kafka_event_error(event);
  size_t count = 0;
  const rd_kafka_topic_result_t** topics = nullptr;
  if (const auto* created = rd_kafka_event_CreateTopics_result(event))
    topics = rd_kafka_CreateTopics_result_topics(created, &count);
  else if (const auto* deleted = rd_kafka_event_DeleteTopics_result(event))
    topics = rd_kafka_DeleteTopics_result_topics(deleted, &count);
  else if (const auto* added = rd_kafka_event_CreatePartitions_result(event))
    topics = rd_kafka_CreatePartitions_result_topics(added, &count);
  if (topics != nullptr)
    return count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__FAIL;
  if (const auto* removed = rd_kafka_event_DeleteRecords_result(event))
    return rd_kafka_DeleteRecords_result_offsets(removed)->elems[0].err;
  return RD_KAFKA_RESP_ERR__FAIL;
}

rd_kafka_resp_err_t create(rd_kafka_t* client, const std::vector<std::string>& words,
                           rd_kafka_queue_t* queue) {
  char text[512];
  rd_kafka_NewTopic_t* topic =
      rd_kafka_NewTopic_new(words[0].c_str(), std::atoi(words[1].c_str()), 1, text, sizeof text);
  if (topic == nullptr) return RD_KAFKA_RESP_ERR__INVALID_ARG;
  for (size_t i = 2; i < words.size(); ++i) {
    size_t const equals = words[i].find('=');
    rd_kafka_NewTopic_set_config(topic, words[i].substr(0, equals).c_str(),
                                 words[i].substr(equals + 1).c_str());
  }
  rd_kafka_CreateTopics(client, &topic, 1, nullptr, queue);
  rd_kafka_NewTopic_destroy(topic);
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t request(rd_kafka_t* client, const std::string& command,
                            const std::vector<std::string>& words, rd_kafka_queue_t* queue) {
  char text[512];
  if ((command == "create" || command == "make") && words.size() >= 2)
    return create(client, words, queue);
  if (command == "delete" && words.size() == 1) {
    rd_kafka_DeleteTopic_t* topic = rd_kafka_DeleteTopic_new(words[0].c_str());
    rd_kafka_DeleteTopics(client, &topic, 1, nullptr, queue);
    rd_kafka_DeleteTopic_destroy(topic);
  } else if (command == "add-partitions" && words.size() == 2) {
    rd_kafka_NewPartitions_t* added = rd_kafka_NewPartitions_new(
        words[0].c_str(), static_cast<size_t>(std::atoi(words[1].c_str())), text, sizeof text);
    if (added == nullptr) return RD_KAFKA_RESP_ERR__INVALID_ARG;
    rd_kafka_CreatePartitions(client, &added, 1, nullptr, queue);
    rd_kafka_NewPartitions_destroy(added);
  } else if (command == "delete-records" && words.size() == 3) {
    rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, words[0].c_str(), std::atoi(words[1].c_str()))->offset =
        std::atoll(words[2].c_str());
    rd_kafka_DeleteRecords_t* removed = rd_kafka_DeleteRecords_new(list);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_DeleteRecords(client, &removed, 1, nullptr, queue);
    rd_kafka_DeleteRecords_destroy(removed);
  } else {
    return RD_KAFKA_RESP_ERR__INVALID_ARG;
  }
  return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int run(const std::string& bootstrap, const std::string& command,
        const std::vector<std::string>& words) {
  rd_kafka_t* client = open(bootstrap, false);
  if (client == nullptr) return EXIT_FAILURE;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__INVALID_ARG;
  {
    Queue const queue(rd_kafka_queue_new(client), &rd_kafka_queue_destroy);
    auto const until = std::chrono::steady_clock::now() + patience;
    do {
      error = request(client, command, words, queue.get());
      if (error != 0) break;
      Event const event(rd_kafka_queue_poll(queue.get(), timeout_ms), &rd_kafka_event_destroy);
      error = event ? outcome(event.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
      if (command == "make" && error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        error = RD_KAFKA_RESP_ERR_NO_ERROR;
      // A topic of this name is still being deleted, or one is not known everywhere yet.
      if (error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS &&
          error != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        break;
      std::this_thread::sleep_for(pause);
    } while (std::chrono::steady_clock::now() < until);
  }
  rd_kafka_destroy(client);
  return error == 0 ? EXIT_SUCCESS : fail(command, rd_kafka_err2str(error));
}

// Takes ownership of `error`.
bool done(const char* what, rd_kafka_error_t* error) {
  if (error == nullptr) return true;
  fail(what, rd_kafka_error_string(error));
  rd_kafka_error_destroy(error);
  return false;
}

bool produce(rd_kafka_t* client, const std::string& topic, const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    size_t const tab = line.find('\t');
    std::string const value = line.substr(tab + 1);
    rd_kafka_resp_err_t const error = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(line.data(), tab),
        RD_KAFKA_V_VALUE(const_cast<char*>(value.data()), value.size()), RD_KAFKA_V_END);
    if (error != 0) return fail("produce", rd_kafka_err2str(error)) == EXIT_SUCCESS;
  }
  return rd_kafka_flush(client, timeout_ms) == 0;
}

rd_kafka_t* open_group(const std::string& bootstrap, const std::string& group) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512];
  rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap.c_str(), text, sizeof text);
  rd_kafka_conf_set(conf, "group.id", group.c_str(), text, sizeof text);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
  if (client == nullptr) fail("librdkafka", text);
  return client;
}

// committed, and commit.
int offsets(const std::string& bootstrap, const std::vector<std::string>& words) {
  if (words.size() < 3) return EXIT_FAILURE;
  rd_kafka_t* client = open_group(bootstrap, words[1]);
  if (client == nullptr) return EXIT_FAILURE;
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_t* entry =
      rd_kafka_topic_partition_list_add(list, words[0].c_str(), std::atoi(words[2].c_str()));
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  if (words.size() == 3) {
    error = rd_kafka_committed(client, list, timeout_ms);
    if (error == 0)
      std::printf("%lld %.*s\n", static_cast<long long>(entry->offset),
                  static_cast<int>(entry->metadata_size),
                  static_cast<const char*>(entry->metadata));
  } else {
    entry->offset = std::atoll(words[3].c_str());
    if (words.size() > 4) {
      entry->metadata_size = words[4].size();
      entry->metadata = std::malloc(words[4].size());  // the list frees it
      words[4].copy(static_cast<char*>(entry->metadata), words[4].size());
    }
    error = rd_kafka_commit(client, list, 0);
  }
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(client);
  return error == 0 ? EXIT_SUCCESS : fail("offsets", rd_kafka_err2str(error));
}

int transaction(const std::string& bootstrap, const std::vector<std::string>& words) {
  rd_kafka_t* client = open(bootstrap, true);
  if (client == nullptr || words.size() != 3) return EXIT_FAILURE;
  bool fine = done("init", rd_kafka_init_transactions(client, timeout_ms)) &&
              done("begin", rd_kafka_begin_transaction(client)) &&
              produce(client, words[0], words[2]);
  if (fine) {
    std::puts("open");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    fine = words[1] == "commit" ? done("commit", rd_kafka_commit_transaction(client, timeout_ms))
                                : done("abort", rd_kafka_abort_transaction(client, timeout_ms));
  }
  rd_kafka_destroy(client);
  return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: kafka_topic BOOTSTRAP COMMAND TOPIC ...\n", stderr);
    return 2;
  }
  std::vector<std::string> const words(argv + 3, argv + argc);
  if (std::string_view(argv[2]) == "transaction") return transaction(argv[1], words);
  if (std::string_view(argv[2]).starts_with("commit")) return offsets(argv[1], words);
  return run(argv[1], argv[2], words);
}
