// SPDX-License-Identifier: Apache-2.0
#include "base/log_writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>

#include "base/limits.h"
#include "base/unique_fd.h"

namespace huntd::log {
namespace {

struct World {
  World() {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    reader = UniqueFd(ends[0]);
    pipe = UniqueFd(ends[1]);
    sink.emplace(pipe.get());
    sink->use(Way::direct);
    writer.emplace(*sink);
  }
  // What there is to read, once something is.
  std::string read_some() const {
    pollfd ready{reader.get(), POLLIN, 0};
    REQUIRE(poll(&ready, 1, 10'000) == 1);
    return read_all();
  }
  std::string read_all() const {
    std::string text(65536, '\0');
    ssize_t const got = read(reader.get(), text.data(), text.size());
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }
  UniqueFd reader;
  UniqueFd pipe;
  std::optional<Sink> sink;
  std::optional<Writer> writer;
};

TEST_CASE("the thread writes a line while nothing else happens") {
  World world;
  REQUIRE(world.writer->start());
  world.writer->push("one\n");
  CHECK(world.read_some() == "one\n");
  world.writer->push("two\n");
  CHECK(world.read_some() == "two\n");
}

TEST_CASE("a stop writes all lines in their order") {
  World world;
  REQUIRE(world.writer->start());
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    std::string const line = "line " + std::to_string(i) + "\n";
    expected += line;
    world.writer->push(line);
  }
  world.writer->stop();
  CHECK_FALSE(world.writer->running());
  CHECK(world.read_all() == expected);
  CHECK(world.sink->dropped() == 0);
}

TEST_CASE("the thread waits for a reader that is slower than it") {
  World world;
  REQUIRE(fcntl(world.pipe.get(), F_SETPIPE_SZ, 4096) == 4096);
  REQUIRE(world.writer->start());
  // More than the pipe and the sink hold: all at once, before the reader starts.
  std::string const line = std::string(300, 'x') + "\n";
  constexpr size_t lines = 500;
  static_assert(lines * 300 > 4 * limits::log_kept_bytes_max);
  for (size_t i = 0; i < lines; ++i) world.writer->push(line);
  size_t bytes = 0;
  while (bytes < lines * line.size()) bytes += world.read_some().size();
  CHECK(bytes == lines * line.size());
  CHECK(world.sink->dropped() == 0);
}

TEST_CASE("the last line too is written once the reader is back") {
  World world;
  REQUIRE(world.writer->start());
  std::string const filling(4096, 'x');
  while (write(world.pipe.get(), filling.data(), filling.size()) > 0) {
  }
  world.writer->push("last\n");
  while (!world.sink->behind()) std::this_thread::yield();
  std::string text;
  while (text.find("last") == std::string::npos) text += world.read_some();
}

TEST_CASE("it can be started again") {
  World world;
  REQUIRE(world.writer->start());
  world.writer->stop();
  REQUIRE(world.writer->start());
  world.writer->push("again\n");
  CHECK(world.read_some() == "again\n");
}

TEST_CASE("above the bound lines are dropped, counted and reported") {
  World world;
  REQUIRE(world.writer->start());
  std::string const line = std::string(limits::log_line_bytes_max - 1, 'x') + "\n";
  // Nothing reads. The pipe and the sink hold some lines, the thread holds what it has taken last,
  // and as much is queued: that is less than three times the bound.
  size_t const lines = 4 * limits::log_queued_bytes_max / line.size();
  for (size_t i = 0; i < lines; ++i) world.writer->push(line);
  CHECK(world.sink->dropped() >= lines / 4);
  std::string text;
  while (text.find(" log lines were dropped") == std::string::npos) text += world.read_some();
  world.writer->stop();
}

TEST_CASE("a stop does not wait for a log that nothing reads") {
  World world;
  REQUIRE(world.writer->start());
  std::string const line = std::string(300, 'x') + "\n";
  size_t const lines = limits::log_queued_bytes_max / line.size();
  for (size_t i = 0; i < lines; ++i) world.writer->push(line);
  world.writer->stop();  // with a wait for each line it would take a minute
  CHECK(world.sink->dropped() > lines / 2);
}

TEST_CASE("a child has neither the thread nor what is queued") {
  World world;
  REQUIRE(world.writer->start());
  world.writer->before_fork();
  world.sink->before_fork();
  pid_t const child = fork();
  if (child == 0) {
    world.sink->after_fork_in_child();
    world.writer->after_fork_in_child();
    _exit(world.writer->running() ? 1 : 0);
  }
  world.sink->after_fork_in_parent();
  world.writer->after_fork_in_parent();
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  world.writer->push("still\n");
  CHECK(world.read_some() == "still\n");
}

}  // namespace
}  // namespace huntd::log
