// SPDX-License-Identifier: Apache-2.0
#include "reconcile/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "reconcile/record.h"

namespace huntd::reconcile {
namespace {

// Removes the first record, with its length, from `bytes`, and returns it; nothing if `bytes` ends
// within it.
std::optional<std::string_view> take_record(std::string_view& bytes) {
  uint64_t size = 0;
  size_t at = 0;
  for (uint32_t shift = 0;; shift += 7) {
    if (at == bytes.size()) return std::nullopt;
    auto const next = static_cast<uint8_t>(bytes[at++]);
    size |= static_cast<uint64_t>(next & 0x7f) << shift;
    if (next < 0x80) break;
  }
  if (size > bytes.size() - at) return std::nullopt;
  std::string_view const record = bytes.substr(at, size);
  bytes.remove_prefix(at + size);
  return record;
}

}  // namespace

std::string temp_directory() {
  const char* const given = getenv("TMPDIR");
  if (given != nullptr && *given != '\0') return given;
  constexpr const char* usual = "/var/tmp";
  return access(usual, W_OK) == 0 ? usual : "/tmp";
}

TempFile::~TempFile() {
  if (fd_ >= 0) close(fd_);
}

Error TempFile::failed(const char* what) const {
  return Error{fmt::format("cannot {} the temporary file in {}: {}; set TMPDIR to a directory with "
                           "room on disk (docs/aggregator.md, huntctl reconcile, says how much)",
                           what, directory_, strerror(errno)),
               ErrorKind::unreachable};
}

Result<void> TempFile::open() {
  fd_ = ::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (fd_ >= 0) return {};
  // Not every file system has O_TMPFILE.
  std::string path = directory_ + "/huntctl-reconcile-XXXXXX";
  fd_ = mkostemp(path.data(), O_CLOEXEC);
  if (fd_ < 0) return failed("create");
  unlink(path.c_str());
  return {};
}

Result<uint64_t> TempFile::append(std::string_view bytes) {
  if (fd_ < 0)
    if (Result<void> opened = open(); !opened) return opened.error();
  uint64_t const offset = size_;
  while (!bytes.empty()) {
    ssize_t const written = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("write");
    size_ += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return offset;
}

Result<void> TempFile::read(uint64_t offset, char* into, size_t size) const {
  while (size > 0) {
    ssize_t const done = pread(fd_, into, size, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = EIO;  // the file has become shorter
    if (done <= 0) return failed("read");
    offset += static_cast<uint64_t>(done);
    into += done;
    size -= static_cast<size_t>(done);
  }
  return {};
}

Result<void> Spool::add(uint32_t partition, std::string_view record) {
  Partition& into = partitions_[partition];
  append_varint(into.tail, record.size());
  into.tail.append(record);
  into.records += 1;
  size_t written = 0;
  for (; into.tail.size() - written >= block_bytes_; written += block_bytes_) {
    Result<uint64_t> const offset =
        file_.append(std::string_view(into.tail).substr(written, block_bytes_));
    if (!offset) return offset.error();
    into.blocks.push_back(*offset);
  }
  if (written > 0) into.tail.erase(0, written);
  // The buffer of one long record is not kept.
  if (into.tail.capacity() > 4 * block_bytes_) into.tail.shrink_to_fit();
  return {};
}

Result<void> Spool::each(uint32_t partition, const Handle& handle) const {
  const Partition& from = partitions_[partition];
  std::string bytes;  // what is read and not handled
  for (size_t block = 0; block <= from.blocks.size(); ++block) {
    if (block == from.blocks.size()) {
      bytes += from.tail;
    } else {
      size_t const kept = bytes.size();
      bytes.resize(kept + block_bytes_);
      Result<void> const read = file_.read(from.blocks[block], bytes.data() + kept, block_bytes_);
      if (!read) return read;
    }
    std::string_view left = bytes;
    while (std::optional<std::string_view> const record = take_record(left))
      if (!handle(*record)) return {};
    bytes.erase(0, bytes.size() - left.size());
  }
  return {};
}

uint64_t Spool::bytes(uint32_t partition) const {
  const Partition& of = partitions_[partition];
  return of.blocks.size() * block_bytes_ + of.tail.size();
}

uint64_t Spool::records() const {
  uint64_t total = 0;
  for (const Partition& partition : partitions_) total += partition.records;
  return total;
}

}  // namespace huntd::reconcile
