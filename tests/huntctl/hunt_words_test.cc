// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunt_words.h"

#include "huntctl/progress.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd::huntctl;
using Words = std::vector<std::string>;

namespace {

Words inserted(Words words) {
  insert_run(words);
  return words;
}

}  // namespace

TEST_CASE("a hunt and a hunter after hunt are a run") {
  CHECK(inserted({"hunt", "forest", "ann"}) == Words{"hunt", "run", "forest", "ann"});
  CHECK(inserted({"hunt", "--key", "k", "forest", "ann"}) ==
        Words{"hunt", "run", "--key", "k", "forest", "ann"});
  CHECK(inserted({"-c", "file", "--token-file=x", "hunt", "forest", "list"}) ==
        Words{"-c", "file", "--token-file=x", "hunt", "run", "forest", "list"});
  CHECK(inserted({"--json", "--timeout", "5", "hunt", "forest", "ann"}) ==
        Words{"--json", "--timeout", "5", "hunt", "run", "forest", "ann"});
}

TEST_CASE("the command is the first word that is not an option and not a value of one") {
  CHECK(command_at({}) == 0);
  CHECK(command_at({"status", "--json"}) == 0);
  CHECK(command_at({"--json", "--timeout", "5", "-c", "status", "lag"}) == 5);
  CHECK(command_at({"--timeout=5", "lag"}) == 1);
  CHECK(command_at({"--timeout"}) == 1);
}

TEST_CASE("--json is found before and after the command, and not behind --") {
  CHECK(asks_for_json({"--json", "status"}));
  CHECK(asks_for_json({"hunt", "close", "forest", "--json"}));
  CHECK_FALSE(asks_for_json({"status"}));
  CHECK_FALSE(asks_for_json({"hunt", "run", "--", "--json", "ann"}));
}

TEST_CASE("a command directly after hunt stays, and so do other commands") {
  for (const char* word : {"close", "open", "list", "purge", "run", "--help", "-h"}) {
    Words words{"hunt", word, "forest"};
    CHECK_FALSE(insert_run(words));
    CHECK(words == Words{"hunt", word, "forest"});
  }
  CHECK(inserted({"hunt"}) == Words{"hunt"});
  CHECK(inserted({"held", "hunt", "ann"}) == Words{"held", "hunt", "ann"});
  CHECK(inserted({"-c", "hunt"}) == Words{"-c", "hunt"});
  CHECK(is_hunt_command("purge"));
  CHECK_FALSE(is_hunt_command("forest"));
}

TEST_CASE("progress is a share with a bar, or a number if the total is not known") {
  CHECK(progress_text("deleting", 5, 10, 4) == "deleting [##  ]  50 %  5 of 10");
  CHECK(progress_text("deleting", 5, 10, 0) == "deleting  50 %  5 of 10");
  CHECK(progress_text("reading", 1234, 0, 4) == "reading  1 234");
  // More than there were before: keys that came twice.
  CHECK(progress_text("deleting", 12, 10, 4) == "deleting [####] 100 %  12 of 12");
}
