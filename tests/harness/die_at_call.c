/* Preloaded into hunt-aggregator (LD_PRELOAD): ends it as kill -9 does, before or after one of its
 * calls to Postgres, Kafka or Redis. What a dead process has done is what it had asked of these, so
 * to die around each of these calls is to die anywhere. Nothing of it is in the program itself.
 *
 *   HUNTD_TEST_TRACE=FILE   writes the points that are passed, a line each: NAME:NUMBER:PHASE
 *   HUNTD_TEST_DIE_AT=POINT ends the process there
 *
 * NAME is the call's, of a statement its first words; NUMBER counts a name's calls from 1; PHASE is
 * "before", "sent" (a statement is on its way, its answer is not here) or "after". Calls that bring
 * nothing are no points. The main thread's calls only: others do not make any of these. */
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

static void pass(const char* name, const char* phase) {
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

/* The next definition of this function, which is the library's. */
#define REAL(function) (__extension__(__typeof__(&function)) dlsym(RTLD_NEXT, #function))

/* The statement whose answer is awaited; empty: none. */
static char statement[name_bytes];

static void name_statement(const char* text) {
  snprintf(statement, sizeof statement, "%s", text);
  /* No line break and no colon is in a name. */
  for (char* at = statement; *at != '\0'; ++at)
    if (*at == ':' || *at == '\n' || *at == ';') *at = ' ';
  pass(statement, "before");
}

int PQsendQueryParams(void* connection, const char* text, int count, const unsigned* types,
                      const char* const* values, const int* lengths, const int* formats,
                      int answer_format) {
  name_statement(text);
  int const sent = REAL(PQsendQueryParams)(connection, text, count, types, values, lengths, formats,
                                           answer_format);
  pass(statement, "sent");
  return sent;
}

int PQsendQuery(void* connection, const char* text) {
  name_statement(text);
  int const sent = REAL(PQsendQuery)(connection, text);
  pass(statement, "sent");
  return sent;
}

int PQputCopyEnd(void* connection, const char* error) {
  pass("end of COPY", "before");
  int const sent = REAL(PQputCopyEnd)(connection, error);
  pass("end of COPY", "after");
  return sent;
}

void* PQgetResult(void* connection) {
  void* result = REAL(PQgetResult)(connection);
  if (result == NULL && statement[0] != '\0') {
    pass(statement, "after");
    statement[0] = '\0';
  }
  return result;
}

ssize_t rd_kafka_consume_batch_queue(void* queue, int timeout_ms, void** messages, size_t size) {
  ssize_t const came = REAL(rd_kafka_consume_batch_queue)(queue, timeout_ms, messages, size);
  if (came > 0) {
    number_of("read", 1);
    pass("read", "after");
  }
  return came;
}

void* rd_kafka_produceva(void* producer, const void* parts, size_t count) {
  pass("produce", "before");
  void* error = REAL(rd_kafka_produceva)(producer, parts, count);
  pass("produce", "after");
  return error;
}

int rd_kafka_commit(void* consumer, const void* offsets, int async) {
  pass("commit of offsets", "before");
  int const error = REAL(rd_kafka_commit)(consumer, offsets, async);
  pass("commit of offsets", "after");
  return error;
}

int rd_kafka_consumer_close(void* consumer) {
  pass("close", "before");
  int const error = REAL(rd_kafka_consumer_close)(consumer);
  pass("close", "after");
  return error;
}

/* Of Redis' commands the one that takes something away. */
static int deleting;

int redisAppendCommandArgv(void* context, int count, const char** words, const size_t* lengths) {
  deleting = lengths[0] == 4 && memcmp(words[0], "XDEL", 4) == 0;
  if (deleting) pass("XDEL", "before");
  return REAL(redisAppendCommandArgv)(context, count, words, lengths);
}

int redisGetReply(void* context, void** reply) {
  int const status = REAL(redisGetReply)(context, reply);
  if (deleting) pass("XDEL", "after");
  deleting = 0;
  return status;
}
