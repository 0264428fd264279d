// SPDX-License-Identifier: Apache-2.0
#include "huntctl/unix_http.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/read_text.h"
#include "base/unique_fd.h"
#include "huntctl/deadline.h"

namespace huntd::huntctl {
namespace {

constexpr size_t read_bytes = 65'536;
constexpr std::string_view line_end = "\r\n";

std::string text_of(const UnixHttpRequest& request) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
                                 request.method, request.target);
  for (auto const& [name, value] : request.headers) text += fmt::format("{}: {}\r\n", name, value);
  if (!request.json_body.empty()) text += "Content-Type: application/json\r\n";
  if (std::string_view(request.method) != "GET")
    text += fmt::format("Content-Length: {}\r\n", request.json_body.size());
  return text + "\r\n" + request.json_body;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

// The value of a header in `head`, the lines after the first one; nothing if there is none.
std::optional<std::string_view> value_of(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    std::string_view const line = head.substr(0, head.find(line_end));
    head.remove_prefix(std::min(head.size(), line.size() + line_end.size()));
    size_t const colon = std::min(line.find(':'), line.size());
    if (!same_name(line.substr(0, colon), name)) continue;
    std::string_view const value = line.substr(std::min(colon + 1, line.size()));
    return value.substr(std::min(value.find_first_not_of(' '), value.size()));
  }
  return std::nullopt;
}

// Why a call of the socket has failed.
Error failure(std::string_view peer, int error, int64_t timeout_ms) {
  if (error == ECONNREFUSED || error == ENOENT)
    return {fmt::format("nothing listens on {}: start the server, or check the address or config "
                        "file (-c)",
                        peer),
            ErrorKind::unreachable};
  if (error == EAGAIN || error == EWOULDBLOCK)
    return {fmt::format("no response from {}, within {}", peer, seconds_text(timeout_ms)),
            ErrorKind::unreachable};
  return {fmt::format("no response from {}: {}", peer, std::strerror(error)),
          ErrorKind::unreachable};
}

// Returns errno if it failed, else 0.
int connect_to(int socket, const std::string& path, int64_t timeout_ms) {
  timeval const timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);  // connect() too
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  bool const connected =
      connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  return connected ? 0 : errno;
}

int send_all(int socket, std::string_view text) {
  while (!text.empty()) {
    ssize_t const sent = send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return 0;
}

// Reads until the server closes the connection.
int receive_all(int socket, std::string& into) {
  for (;;) {
    size_t const before = into.size();
    if (before > unix_response_bytes_max) return EMSGSIZE;
    into.resize(before + read_bytes);
    ssize_t const got = recv(socket, into.data() + before, read_bytes, 0);
    int const error = errno;
    into.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return 0;
    if (got < 0 && error != EINTR) return error;
  }
}

}  // namespace

Result<HttpResponse> read_whole_response(std::string_view bytes) {
  size_t const head_end = bytes.find("\r\n\r\n");
  size_t const line = bytes.find(line_end);
  if (head_end == std::string_view::npos || !bytes.starts_with("HTTP/1.") || line < 12)
    return Error{"it is not HTTP, or ends in its head", ErrorKind::unreachable};
  std::optional<int> const status = read_number<int>(bytes.substr(9, 3));
  if (!status) return Error{"it is not HTTP", ErrorKind::unreachable};
  std::string_view const fields =
      bytes.substr(line + line_end.size(), head_end - std::min(head_end, line + line_end.size()));
  std::string_view const body = bytes.substr(head_end + 4);
  std::optional<std::string_view> const length = value_of(fields, "Content-Length");
  if (!length || read_number<size_t>(*length) != body.size())
    return Error{"it ends before its Content-Length, or has none", ErrorKind::unreachable};
  return HttpResponse{*status, std::string(body),
                      std::string(value_of(fields, "Hunt-Bundle").value_or(""))};
}

Result<HttpResponse> call_over_unix(const UnixHttpRequest& request, std::string_view peer,
                                    int64_t timeout_ms) {
  UniqueFd const socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return failure(peer, errno, timeout_ms);
  std::string received;
  int error = connect_to(socket.get(), request.socket_path, timeout_ms);
  // A server that rejects a request may close before it has read it, so its response comes first.
  int const send_error = error == 0 ? send_all(socket.get(), text_of(request)) : 0;
  if (error == 0) error = receive_all(socket.get(), received);
  if (error == 0 && received.empty()) error = send_error != 0 ? send_error : ECONNRESET;
  if (error != 0) return failure(peer, error, timeout_ms);
  Result<HttpResponse> response = read_whole_response(received);
  if (!response)
    return Error{
        fmt::format("the response of {} cannot be read: {}", peer, response.error().message),
        ErrorKind::unreachable};
  return response;
}

}  // namespace huntd::huntctl
