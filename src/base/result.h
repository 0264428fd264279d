// SPDX-License-Identifier: Apache-2.0
// Result<T> holds a value or an Error. Failures of the outside world are returned in it; a violated
// invariant of our own fails a CHECK.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace huntd {

// What a program that has to distinguish errors needs to know about one, such as huntctl for its
// exit code.
enum class ErrorKind : uint8_t {
  other,
  unreachable,  // a peer: no connection, a broken one, no login, or no reply in time
  usage,        // the command line, a file that it names, or the config
};

// One sentence: what failed, and what to do about it.
struct Error {
  std::string message;
  ErrorKind kind = ErrorKind::other;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return state_.index() == 0; }
  // The value. REQUIRES: the result holds a value.
  T& operator*() {
    CHECK(state_.index() == 0);
    return *std::get_if<0>(&state_);
  }
  const T& operator*() const {
    CHECK(state_.index() == 0);
    return *std::get_if<0>(&state_);
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  // The error. REQUIRES: the result holds an error.
  const Error& error() const {
    CHECK(state_.index() == 1);
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), failed_(true) {}
  explicit operator bool() const { return !failed_; }
  const Error& error() const {
    CHECK(failed_);
    return error_;
  }

 private:
  Error error_;
  bool failed_ = false;
};

}  // namespace huntd
