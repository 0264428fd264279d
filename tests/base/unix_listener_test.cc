// SPDX-License-Identifier: Apache-2.0
#include "base/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;

namespace {

// A folder of its own, which it removes.
struct Folder {
  Folder() {
    char name[] = "/tmp/huntd-unix-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file() const { return path + "/h.sock"; }
  std::string path;
};

bool can_connect(const std::string& path) {
  UniqueFd const socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool exists(const std::string& path) { return std::filesystem::exists(path); }

}  // namespace

TEST_CASE("a socket with a path has the mode that was asked for, with any umask") {
  Folder const folder;
  mode_t const before = umask(077);
  Result<ListeningSocket> const made = listen_unix(folder.file(), 0666, 8);
  umask(before);
  REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
  struct stat file {};
  REQUIRE(stat(folder.file().c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0666);
  CHECK(can_connect(folder.file()));
}

TEST_CASE("the file goes with its owner, and only then") {
  Folder const folder;
  {
    Result<ListeningSocket> made = listen_unix(folder.file(), 0600, 8);
    REQUIRE(made);
    ListeningSocket const moved = std::move(*made);
    { SocketFile const emptied = std::move(made->file); }
    CHECK(can_connect(folder.file()));
  }
  CHECK_FALSE(exists(folder.file()));
}

TEST_CASE("a file that another process has put there stays") {
  Folder const folder;
  {
    Result<ListeningSocket> const made = listen_unix(folder.file(), 0600, 8);
    REQUIRE(made);
    // Under another name first: a new file could get the number of the one that is removed.
    std::ofstream(folder.file() + ".new") << "theirs";
    std::filesystem::rename(folder.file() + ".new", folder.file());
  }
  CHECK(exists(folder.file()));
}

TEST_CASE("a file on which no process listens is replaced, one of a live process is not") {
  Folder const folder;
  {
    Result<ListeningSocket> made = listen_unix(folder.file(), 0600, 8);
    REQUIRE(made);
    Result<ListeningSocket> const second = listen_unix(folder.file(), 0600, 8);
    REQUIRE_FALSE(second);
    CHECK(second.error().message ==
          "cannot listen on unix:" + folder.file() +
              ": another process listens there; stop that process or use another path");
    CHECK(can_connect(folder.file()));
    // As a process that was killed leaves it.
    made->socket.reset();
    CHECK_FALSE(can_connect(folder.file()));
    Result<ListeningSocket> const replaced = listen_unix(folder.file(), 0600, 8);
    REQUIRE_MESSAGE(replaced, (replaced ? "" : replaced.error().message));
    CHECK(can_connect(folder.file()));
  }
}

TEST_CASE("a path that can't be used is an error that names the path") {
  Folder const folder;
  std::ofstream(folder.file()) << "theirs";
  Result<ListeningSocket> const file = listen_unix(folder.file(), 0600, 8);
  REQUIRE_FALSE(file);
  CHECK(file.error().message.find("is not a socket") != std::string::npos);
  CHECK(exists(folder.file()));
  CHECK(listen_unix(folder.path + "/none/h", 0600, 8).error().message ==
        "cannot listen on unix:" + folder.path + "/none/h: No such file or directory");
  CHECK(listen_unix("/" + std::string(107, 'x'), 0600, 8)
            .error()
            .message.ends_with("the path is too long"));
}
