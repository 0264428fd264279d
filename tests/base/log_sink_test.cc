// SPDX-License-Identifier: Apache-2.0
// A log that is not read makes no writer wait: what it does not take is kept, then dropped and
// reported.
#include "base/log_sink.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/unique_fd.h"

namespace huntd::log {
namespace {

struct Ends {
  UniqueFd reader;
  UniqueFd writer;
};

// A pipe of one page.
Ends make_pipe() {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Ends make_socketpair() {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  int const bytes = 1;  // the kernel's least
  REQUIRE(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// What there is to read now.
std::string read_all(const UniqueFd& reader) {
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(reader.get(), buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  return text;
}

// A number and padding, so that lines have several lengths.
std::string line(int number) {
  return "line " + std::to_string(number) + " " +
         std::string(static_cast<size_t>(number % 7) * 60, '.') + "\n";
}

struct Seen {
  std::vector<int> numbers;
  std::vector<uint64_t> reported;  // of "N log lines were dropped", at its place
};

// Every line must be one that was written, whole.
Seen parse(std::string_view text) {
  Seen seen;
  while (!text.empty()) {
    size_t const end = text.find('\n');
    REQUIRE(end != std::string_view::npos);
    std::string const one(text.substr(0, end + 1));
    text.remove_prefix(end + 1);
    if (one.starts_with("<4>")) {
      REQUIRE(one.find(" log lines were dropped reason=") != std::string::npos);
      seen.reported.push_back(std::strtoull(one.c_str() + 3, nullptr, 10));
      continue;
    }
    REQUIRE(one.starts_with("line "));
    int const number = std::atoi(one.c_str() + 5);
    REQUIRE(one == line(number));
    seen.numbers.push_back(number);
  }
  return seen;
}

constexpr uint64_t second_ns = 1'000'000'000;

// Reads and flushes until nothing is left.
std::string drain(Sink& sink, const UniqueFd& reader) {
  static uint64_t now_ns = 1000 * second_ns;
  std::string text;
  for (int turn = 0; turn < 100; ++turn) {
    text += read_all(reader);
    sink.flush(now_ns += second_ns);
  }
  return text + read_all(reader);
}

void check_full_then_read(Ends ends, Way way) {
  Sink sink(ends.writer.get());
  sink.use(way);
  constexpr int lines = 1000;
  for (int i = 0; i < lines; ++i) sink.write(line(i));  // would hang here
  uint64_t const dropped = sink.dropped();
  CHECK(dropped > lines / 2);
  CHECK(dropped < lines);

  Seen const seen = parse(drain(sink, ends.reader));
  // Without gaps from the first on, then the number of the rest.
  CHECK(seen.numbers.size() == lines - dropped);
  for (size_t i = 0; i < seen.numbers.size() && i < 20; ++i)
    CHECK(seen.numbers[i] == static_cast<int>(i));
  uint64_t reported = 0;
  for (uint64_t const some : seen.reported) reported += some;
  CHECK(reported == dropped);

  // As before from here on.
  sink.write(line(5));
  CHECK(read_all(ends.reader) == line(5));
  CHECK(sink.dropped() == dropped);
}

}  // namespace

TEST_CASE("a pipe that is not read does not wait, and every missing line is reported") {
  Ends ends = make_pipe();
  Way const way = stop_waiting(ends.writer.get());
  CHECK(way == Way::direct);
  check_full_then_read(std::move(ends), way);
}

TEST_CASE("a socket that is not read does not wait, and every missing line is reported") {
  Ends ends = make_socketpair();
  Way const way = stop_waiting(ends.writer.get());
  CHECK(way == Way::socket);
  check_full_then_read(std::move(ends), way);
}

TEST_CASE("a pipe that may not be opened again does not wait either") {
  check_full_then_read(make_pipe(), Way::ask);
}

TEST_CASE("the open file that other processes share stays as it is") {
  Ends ends = make_pipe();
  UniqueFd const shared(dup(ends.writer.get()));
  REQUIRE(stop_waiting(ends.writer.get()) == Way::direct);
  CHECK((fcntl(shared.get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK((fcntl(ends.writer.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(ends.writer.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("the rest of a line that was written in part comes before the next line") {
  // A byte stream that takes part of a write: a pipe with room for half a line, and a line that is
  // longer than PIPE_BUF, which is the only kind that a pipe cuts.
  Ends ends = make_pipe();
  REQUIRE(fcntl(ends.writer.get(), F_SETPIPE_SZ, 8192) == 8192);
  Sink sink(ends.writer.get());
  sink.use(stop_waiting(ends.writer.get()));
  std::string const filler(4096, 'f');
  REQUIRE(write(ends.writer.get(), filler.data(), filler.size()) == 4096);
  std::string const torn = std::string(6000, 't') + "\n";
  sink.write(torn);
  sink.write("next\n");
  std::string const first = read_all(ends.reader);
  CHECK(first.size() == 8192);
  sink.write("last\n");
  CHECK(first + read_all(ends.reader) == filler + torn + "next\nlast\n");
  CHECK(sink.dropped() == 0);
}

TEST_CASE("what is kept has a bound") {
  Ends ends = make_pipe();
  Sink sink(ends.writer.get());
  sink.use(stop_waiting(ends.writer.get()));
  for (int i = 0; i < 10'000; ++i) sink.write(line(3));
  CHECK(drain(sink, ends.reader).size() <= 4096 + limits::log_kept_bytes_max + 200);
}

TEST_CASE("a reader that is gone, and a disk that is full, cost lines only") {
  signal(SIGPIPE, SIG_IGN);
  Ends ends = make_pipe();
  Way const way = stop_waiting(ends.writer.get());
  ends.reader.reset();
  Sink gone(ends.writer.get());
  gone.use(way);
  for (int i = 0; i < 1000; ++i) gone.write(line(i));
  CHECK(gone.dropped() > 0);

  UniqueFd const full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  REQUIRE(full.valid());
  Sink disk(full.get());
  disk.use(stop_waiting(full.get()));
  for (int i = 0; i < 1000; ++i) disk.write(line(i));
  CHECK(disk.dropped() > 0);
}

TEST_CASE("lines go to the end of a regular file that others write to as well") {
  char name[] = "/tmp/huntd-log-XXXXXX";
  UniqueFd const file(mkostemp(name, O_CLOEXEC));
  REQUIRE(file.valid());
  Sink sink(file.get());
  sink.use(stop_waiting(file.get()));
  sink.write("one\n");
  REQUIRE(write(file.get(), "two\n", 4) == 4);
  sink.write("three\n");
  char text[64] = {};
  REQUIRE(pread(file.get(), text, sizeof text, 0) == 14);
  CHECK(std::string_view(text) == "one\ntwo\nthree\n");
  unlink(name);
}

TEST_CASE("a terminal stopped by its user does not wait") {
  UniqueFd const user(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(user.valid());
  REQUIRE(grantpt(user.get()) == 0);
  REQUIRE(unlockpt(user.get()) == 0);
  UniqueFd terminal(open(ptsname(user.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(terminal.valid());
  for (bool const opened_again : {true, false}) {
    CAPTURE(opened_again);
    Sink sink(terminal.get());
    sink.use(opened_again ? stop_waiting(terminal.get()) : Way::ask);
    CHECK(isatty(terminal.get()) == 1);
    REQUIRE(write(user.get(), "\x13", 1) == 1);  // ^S
    usleep(50'000);
    for (int i = 0; i < 2000; ++i) sink.write(line(i));
    CHECK(sink.dropped() > 0);
    REQUIRE(write(user.get(), "\x11", 1) == 1);  // ^Q
    usleep(50'000);
    CHECK(drain(sink, user).find("line 0 ") != std::string::npos);
  }
}

TEST_CASE("a child of fork(2) does not write what its parent keeps") {
  Ends ends = make_pipe();
  Sink sink(ends.writer.get());
  sink.use(stop_waiting(ends.writer.get()));
  for (int i = 0; i < 500; ++i) sink.write(line(i));
  REQUIRE(sink.dropped() > 0);
  read_all(ends.reader);
  sink.before_fork();
  pid_t const child = fork();
  if (child == 0) {
    sink.after_fork_in_child();
    sink.write("of the child\n");
    _exit(sink.dropped() == 0 ? 0 : 1);
  }
  sink.after_fork_in_parent();
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(read_all(ends.reader) == "of the child\n");
}

TEST_CASE("a descriptor that is closed becomes /dev/null") {
  int const number = 199;
  REQUIRE(fcntl(number, F_GETFD) == -1);
  CHECK(stop_waiting(number) == Way::direct);
  struct stat opened {};
  struct stat null {};
  REQUIRE(fstat(number, &opened) == 0);
  REQUIRE(stat("/dev/null", &null) == 0);
  CHECK(opened.st_rdev == null.st_rdev);
  close(number);
}

}  // namespace huntd::log
