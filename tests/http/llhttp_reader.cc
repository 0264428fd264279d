// SPDX-License-Identifier: Apache-2.0
#include "llhttp_reader.h"

namespace huntd::tests {
namespace {

// What the callbacks collect. A value may come in several parts.
struct Collected {
  LlhttpRequest request;
  std::string field;
  std::string value;
  bool head_done = false;
};

Collected& of(llhttp_t* parser) { return *static_cast<Collected*>(parser->data); }

std::string trimmed(const std::string& text) {
  size_t const first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

llhttp_settings_t make_settings() {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_url = [](llhttp_t* parser, const char* at, size_t length) {
    of(parser).request.target.append(at, length);
    return 0;
  };
  settings.on_header_field = [](llhttp_t* parser, const char* at, size_t length) {
    of(parser).field.append(at, length);
    return 0;
  };
  settings.on_header_value = [](llhttp_t* parser, const char* at, size_t length) {
    of(parser).value.append(at, length);
    return 0;
  };
  settings.on_header_value_complete = [](llhttp_t* parser) {
    Collected& collected = of(parser);
    if (!collected.head_done)
      collected.request.headers.emplace_back(collected.field, trimmed(collected.value));
    collected.field.clear();
    collected.value.clear();
    return 0;
  };
  settings.on_headers_complete = [](llhttp_t* parser) {
    of(parser).head_done = true;
    parser->upgrade = 0;  // as a server that supports no other protocol: continue in HTTP
    return 0;
  };
  settings.on_body = [](llhttp_t* parser, const char* at, size_t length) {
    of(parser).request.body.append(at, length);
    return 0;
  };
  settings.on_message_complete = [](llhttp_t* parser) {
    of(parser).request.keep_alive = llhttp_should_keep_alive(parser) != 0;
    return static_cast<int>(HPE_PAUSED);  // stop: the bytes after it belong to another request
  };
  return settings;
}

}  // namespace

LlhttpRequest read_with_llhttp(std::string_view bytes) {
  static const llhttp_settings_t settings = make_settings();
  Collected collected;
  llhttp_t parser;
  llhttp_init(&parser, HTTP_REQUEST, &settings);
  parser.data = &collected;
  llhttp_errno_t const error = llhttp_execute(&parser, bytes.data(), bytes.size());
  LlhttpRequest& request = collected.request;
  if (error == HPE_OK) return request;
  if (error != HPE_PAUSED) {
    request.status = LlhttpRequest::Status::bad;
    request.reason = llhttp_get_error_reason(&parser);
    return request;
  }
  request.status = LlhttpRequest::Status::done;
  request.consumed = static_cast<size_t>(llhttp_get_error_pos(&parser) - bytes.data());
  request.method = llhttp_method_name(static_cast<llhttp_method_t>(parser.method));
  request.minor_version = parser.http_minor;
  return request;
}

}  // namespace huntd::tests
