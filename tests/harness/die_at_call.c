/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into hunt-aggregator or huntctl (LD_PRELOAD): kills it with SIGKILL before or after one
 * of its calls to PostgreSQL, Kafka or Redis. The effects of a process are what these have
 * received, so a kill around each of these calls covers a kill at any moment. The program itself
 * has no code for this.
 *
 *   HUNTD_TEST_TRACE=FILE   writes each point that is reached, one per line: NAME:NUMBER:PHASE
 *   HUNTD_TEST_DIE_AT=POINT kills the process there
 *
 * NAME is the name of the call, or the first words of the statement. NUMBER counts the calls of a
 * name from 1. PHASE is "before", "sent" (the statement is sent, its result has not come) or
 * "after". Calls that return nothing are not points. Only the main thread makes these calls.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { names_max = 64, name_bytes = 40 };

static struct {
  char name[name_bytes];
  int calls;
} seen[names_max];

static int number_of(const char* name, int count_it) {
  for (int i = 0; i < names_max; ++i) {
    if (seen[i].name[0] == '\0') snprintf(seen[i].name, name_bytes, "%s", name);
    if (strncmp(seen[i].name, name, name_bytes - 1) != 0) continue;
    seen[i].calls += count_it;
    return seen[i].calls;
  }
  abort();
}

static void reach(const char* name, const char* phase) {
  char point[128];
  int const number = number_of(name, strcmp(phase, "before") == 0);
  int const length = snprintf(point, sizeof point, "%s:%d:%s", name, number, phase);
  const char* trace = getenv("HUNTD_TEST_TRACE");
  if (trace != NULL) {
    int const file = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || dprintf(file, "%s\n", point) != length + 1) abort();
    close(file);
  }
  const char* die_at = getenv("HUNTD_TEST_DIE_AT");
  if (die_at != NULL && strcmp(die_at, point) == 0) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}

/* The next definition of this function: that of the library. */
#define REAL(function) (__extension__(__typeof__(&function)) dlsym(RTLD_NEXT, #function))

/* The statement whose result has not come; empty: none. */
static char statement[name_bytes];

static void name_statement(const char* text) {
  snprintf(statement, sizeof statement, "%s", text);
  /* A name has no colon, semicolon or line break. */
  for (char* at = statement; *at != '\0'; ++at)
    if (*at == ':' || *at == '\n' || *at == ';') *at = ' ';
  reach(statement, "before");
}

int PQsendQueryParams(void* connection, const char* text, int count, const unsigned* types,
                      const char* const* values, const int* lengths, const int* formats,
                      int result_format) {
  name_statement(text);
  int const sent = REAL(PQsendQueryParams)(connection, text, count, types, values, lengths, formats,
                                           result_format);
  reach(statement, "sent");
  return sent;
}

int PQsendQuery(void* connection, const char* text) {
  name_statement(text);
  int const sent = REAL(PQsendQuery)(connection, text);
  reach(statement, "sent");
  return sent;
}

int PQputCopyEnd(void* connection, const char* error) {
  reach("end of COPY", "before");
  int const sent = REAL(PQputCopyEnd)(connection, error);
  reach("end of COPY", "after");
  return sent;
}

void* PQgetResult(void* connection) {
  void* result = REAL(PQgetResult)(connection);
  if (result == NULL && statement[0] != '\0') {
    reach(statement, "after");
    statement[0] = '\0';
  }
  return result;
}

ssize_t rd_kafka_consume_batch_queue(void* queue, int timeout_ms, void** messages, size_t size) {
  ssize_t const came = REAL(rd_kafka_consume_batch_queue)(queue, timeout_ms, messages, size);
  if (came > 0) {
    number_of("read", 1);
    reach("read", "after");
  }
  return came;
}

void* rd_kafka_produceva(void* producer, const void* parts, size_t count) {
  reach("produce", "before");
  void* error = REAL(rd_kafka_produceva)(producer, parts, count);
  reach("produce", "after");
  return error;
}

int rd_kafka_commit(void* consumer, const void* offsets, int async) {
  reach("commit of offsets", "before");
  int const error = REAL(rd_kafka_commit)(consumer, offsets, async);
  reach("commit of offsets", "after");
  return error;
}

int rd_kafka_consumer_close(void* consumer) {
  reach("close", "before");
  int const error = REAL(rd_kafka_consumer_close)(consumer);
  reach("close", "after");
  return error;
}

/* The commands of Redis that change something; others are not points. */
static const char* const changes[] = {"XDEL", "UNLINK", "EVALSHA", "SADD", "SREM", "ZREM"};
/* The one that was appended and whose reply has not come; NULL: none. Of a pipeline it is the last
 * one, and "after" is after the first reply: Redis has got all of them. */
static const char* change;

int redisAppendCommandArgv(void* context, int count, const char** words, const size_t* lengths) {
  change = NULL;
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; ++i)
    if (lengths[0] == strlen(changes[i]) && memcmp(words[0], changes[i], lengths[0]) == 0)
      change = changes[i];
  if (change != NULL) reach(change, "before");
  return REAL(redisAppendCommandArgv)(context, count, words, lengths);
}

int redisGetReply(void* context, void** reply) {
  int const status = REAL(redisGetReply)(context, reply);
  if (change != NULL) reach(change, "after");
  change = NULL;
  return status;
}
