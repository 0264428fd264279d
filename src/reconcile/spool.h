// SPDX-License-Identifier: Apache-2.0
// Records by partition, most of them on disk: the memory does not grow with their number, except by
// 8 bytes per block.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd::reconcile {

// Returns $TMPDIR; if it is not set, /var/tmp, because /tmp is memory on many hosts.
std::string temp_directory();

// A file without a name: it is gone when the program ends, however it ends. Created at the first
// append(), so what fits into the buffers of the spools needs no disk.
class TempFile {
 public:
  explicit TempFile(std::string directory) : directory_(std::move(directory)) {}
  ~TempFile();
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  // Returns the offset at which `bytes` begin.
  Result<uint64_t> append(std::string_view bytes);
  Result<void> read(uint64_t offset, char* into, size_t size) const;
  uint64_t size() const { return size_; }

 private:
  Result<void> open();
  Error failed(const char* what) const;

  std::string directory_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

class Spool {
 public:
  // Writes to `file`, which must outlive the spool, when a partition has `block_bytes`.
  Spool(TempFile& file, uint32_t partitions, size_t block_bytes)
      : file_(file), block_bytes_(block_bytes), partitions_(partitions) {}

  Result<void> add(uint32_t partition, std::string_view record);
  // Calls `handle` for each record of the partition, in the order of add(), until it returns false.
  using Handle = std::function<bool(std::string_view record)>;
  Result<void> each(uint32_t partition, const Handle& handle) const;

  uint32_t partitions() const { return static_cast<uint32_t>(partitions_.size()); }
  uint64_t records(uint32_t partition) const { return partitions_[partition].records; }
  // The size of all records of the partition.
  uint64_t bytes(uint32_t partition) const;
  uint64_t records() const;

 private:
  struct Partition {
    std::vector<uint64_t> blocks;  // their offsets in the file; each has block_bytes_
    std::string tail;              // what is after them
    uint64_t records = 0;
  };

  TempFile& file_;
  size_t block_bytes_;
  std::vector<Partition> partitions_;
};

}  // namespace huntd::reconcile
