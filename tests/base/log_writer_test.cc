// SPDX-License-Identifier: Apache-2.0
#include "base/log_writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

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
  world.writer->push("one\n", false);
  CHECK(world.read_some() == "one\n");
  world.writer->push("two\n", false);
  CHECK(world.read_some() == "two\n");
}

TEST_CASE("a stop writes all lines in their order") {
  World world;
  REQUIRE(world.writer->start());
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    std::string const line = "line " + std::to_string(i) + "\n";
    expected += line;
    world.writer->push(line, false);
  }
  world.writer->stop();
  CHECK_FALSE(world.writer->running());
  CHECK(world.read_all() == expected);
  CHECK(world.writer->dropped() == 0);
}

TEST_CASE("it can be started again") {
  World world;
  REQUIRE(world.writer->start());
  world.writer->stop();
  REQUIRE(world.writer->start());
  world.writer->push("again\n", false);
  CHECK(world.read_some() == "again\n");
}

TEST_CASE("above the bound lines are dropped and counted") {
  World world;
  REQUIRE(world.writer->start());
  // The sink, and with it the thread, is held up by a lock as around a fork(2).
  world.sink->before_fork();
  std::string const line(limits::log_line_bytes_max, 'x');
  // Three times the bound: the thread can have taken what was queued at one moment.
  size_t const lines = 3 * limits::log_queued_bytes_max / line.size();
  for (size_t i = 0; i < lines; ++i) world.writer->push(line, false);
  CHECK(world.writer->dropped() >= lines / 3);
  world.sink->after_fork_in_parent();
  world.writer->stop();
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
    _exit(world.writer->running() || world.writer->dropped() != 0 ? 1 : 0);
  }
  world.sink->after_fork_in_parent();
  world.writer->after_fork_in_parent();
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  world.writer->push("still\n", false);
  CHECK(world.read_some() == "still\n");
}

}  // namespace
}  // namespace huntd::log
