// The hunt_worker that a service runs: opened once, so that a file put in its place later (an
// upgrade) is first run at the next start. Images are made by it and good for it alone.
#pragma once
#include <string>

#include "base/result.h"

namespace huntd {

class WorkerProgram {
 public:
  // The error says what to set where `path` is no program.
  static Result<WorkerProgram> open(const std::string& path);
  WorkerProgram(WorkerProgram&& other) noexcept;
  WorkerProgram& operator=(WorkerProgram&&) = delete;
  ~WorkerProgram();

  // O_PATH, closed at exec; stays this object's.
  int descriptor() const { return descriptor_; }
  // A path that runs it from this process and from its children before they exec.
  std::string exec_path() const;

 private:
  explicit WorkerProgram(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace huntd
