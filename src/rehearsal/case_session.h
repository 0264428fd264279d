// SPDX-License-Identifier: Apache-2.0
// One case of a test: its ledger, and the replies to what the test script asks of huntctl.
#pragma once
#include <simdjson.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "rehearsal/case_ledger.h"
#include "rehearsal/hunt_test.h"

namespace huntd {

class CaseSession {
 public:
  // The plan and the player exist as long as this object.
  CaseSession(const TestPlan& plan, HuntPlayer& player) : plan_(plan), player_(player) {}

  // The reply to a request, both JSON objects: one of time, given, play, held_by
  // (rehearsal/test_helpers.lua). What is wrong with the request is its member `problem`. The error
  // says why no worker could be started.
  Result<std::string> reply(std::string_view request);

  const std::optional<TestedCase::Run>& last_run() const { return last_run_; }
  uint64_t runs() const { return runs_; }

 private:
  using Object = simdjson::dom::object;

  struct Request {
    std::string hunter_id;
    int64_t now_ms = 0;
    std::string key;
    std::string input;  // as encode_json_value() writes it; empty: no body
    std::string input_json;
    uint64_t runs = 1;
    uint64_t hunters = 1;
    bool many = false;
  };

  std::string time_reply(std::string_view text);
  std::string held_reply(std::string_view hunter_id);
  std::string given_reply(const Object& given);
  std::string read_play(const Object& play, Request& request);
  Result<std::string> play_reply(const Object& play);
  Result<std::string> play_one(const Request& request);
  Result<std::string> play_many(const Request& request);
  struct Came {
    Rehearsed run;
    bool replayed = false;    // it is the response that is stored for the key
    bool key_reused = false;  // the key was used with other input: `run` is empty
  };
  Result<Came> play(const Request& request, const std::string& hunter_id);

  const TestPlan& plan_;
  HuntPlayer& player_;
  CaseLedger ledger_;
  std::string seed_ = "test";
  std::map<std::string, CaseLedger::Held> given_held_;  // by test.given, of each hunter
  std::map<std::string, std::string> given_state_;
  std::optional<TestedCase::Run> last_run_;
  uint64_t runs_ = 0;
};

}  // namespace huntd
