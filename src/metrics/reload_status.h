// SPDX-License-Identifier: Apache-2.0
// The newest reload, in shared memory: the parent writes it, the admin process reads it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/core_metrics.h"

namespace huntd {

enum class ReloadResult : uint8_t {
  none,  // no reload yet, and the start served the scripts of hunts.dir
  applied,
  rejected,  // also: a start that serves the saved scripts, since those of hunts.dir have an error
};
inline constexpr std::array<std::string_view, 3> reload_result_names = {"none", "applied",
                                                                        "rejected"};

// One moment. A check runs while started > finished.
struct ReloadStatus {
  uint64_t started = 0;   // checks so far; the number of the newest check
  uint64_t finished = 0;  // the number of the newest check that has ended
  // Of the newest check that has ended.
  ReloadResult result = ReloadResult::none;
  int64_t at_ms = 0;          // when it ended, since 1970; 0 for none
  uint64_t applied = 0;       // checks so far
  uint64_t rejected = 0;      // without the start's
  bool serves_saved = false;  // the scripts are those saved in hunts.state_dir
  std::string bundle;         // its name, in use since the last applied reload or the start
  std::string error;          // of a rejected one; cut at limits::reload_error_bytes_max
  // Of the newest applied one: keys of the config file that a restart applies. Those that fit into
  // reload_waiting_bytes_max.
  std::vector<std::string> waiting_keys;
};
inline constexpr size_t reload_waiting_bytes_max = 1024;

// The whole status changes at once for a reader.
class SharedReload {
 public:
  void set(const ReloadStatus& status);
  ReloadStatus get() const;
  // What the check that runs does at present, in words; empty if none runs.
  void set_progress(std::string_view text) { progress_.set(text); }
  std::string progress() const { return progress_.get(); }
  // Why the scripts in use could not be saved for a later start; empty if they are.
  void set_save_error(std::string_view text) { save_error_.set(text); }
  std::string save_error() const { return save_error_.get(); }

 private:
  SharedText<limits::reload_error_bytes_max + reload_waiting_bytes_max + 256> status_;
  SharedText<192> progress_;
  SharedText<512> save_error_;
};

}  // namespace huntd
