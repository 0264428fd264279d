/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/error_help.h"

#include <stdio.h>
#include <string.h>

#include "wire/script_names.h"

static const char* const hunt_function_names[] = {HUNT_FUNCTIONS(SCRIPT_NAME_TEXT)};
enum { hunt_function_count = sizeof hunt_function_names / sizeof hunt_function_names[0] };

int nearly_equal(const char* a, size_t a_size, const char* b) {
  size_t const b_size = strlen(b);
  size_t same = 0;
  while (same < a_size && same < b_size && a[same] == b[same]) ++same;
  const char* const x = a + same;
  const char* const y = b + same;
  size_t const m = a_size - same;
  size_t const n = b_size - same;
  if (m == n + 1) return memcmp(x + 1, y, n) == 0;
  if (n == m + 1) return memcmp(x, y + 1, m) == 0;
  if (m != n || m == 0) return 0;
  int const swapped = m >= 2 && x[0] == y[1] && x[1] == y[0] && memcmp(x + 2, y + 2, m - 2) == 0;
  return swapped || memcmp(x + 1, y + 1, m - 1) == 0;
}

/* The name in quotes behind `head` in the message, of *size bytes; null if it is not there. */
static const char* name_behind(const char* message, const char* head, size_t* size) {
  const char* const at = strstr(message, head);
  if (at == NULL) return NULL;
  const char* const name = at + strlen(head);
  const char* const end = strchr(name, '\'');
  if (end == NULL) return NULL;
  *size = (size_t)(end - name);
  return name;
}

static int is_hunt_function(const char* name, size_t size) {
  for (size_t i = 0; i < hunt_function_count; ++i)
    if (strlen(hunt_function_names[i]) == size && memcmp(hunt_function_names[i], name, size) == 0)
      return 1;
  return 0;
}

static int ends_with(const char* text, const char* end) {
  size_t const text_size = strlen(text);
  size_t const end_size = strlen(end);
  return text_size >= end_size && memcmp(text + text_size - end_size, end, end_size) == 0;
}

/* Whether `message` has `head`, and is about a nil behind it: not only in a name. */
static int is_about_nil(const char* message, const char* head) {
  const char* const at = strstr(message, head);
  if (at == NULL) return 0;
  return ends_with(at, " nil value") || ends_with(at, "(a nil value)") ||
         ends_with(at, " two nil values") || ends_with(at, " with nil") ||
         strncmp(at + strlen(head), "nil with ", strlen("nil with ")) == 0;
}

void error_help(const char* message, char* into, size_t size) {
  size_t name_size = 0;
  const char* name = name_behind(message, "attempt to call field '", &name_size);
  into[0] = '\0';
  if (name != NULL && !ends_with(name, "(a nil value)")) name = NULL;
  for (size_t i = 0; name != NULL && i < hunt_function_count; ++i)
    if (nearly_equal(name, name_size, hunt_function_names[i])) {
      /* Lua does not name the table. */
      snprintf(into, size, "; if this is a field of hunt, it is hunt.%s", hunt_function_names[i]);
      return;
    }
  name = name_behind(message, "attempt to index field '", &name_size);
  if (name != NULL && strstr(name, "(a function value)") != NULL &&
      is_hunt_function(name, name_size)) {
    snprintf(into, size, "; write hunt.%.*s()", (int)name_size, name);
    return;
  }
  if (is_about_nil(message, "attempt to perform arithmetic on ") ||
      is_about_nil(message, "attempt to compare "))
    snprintf(into, size, "; if it may be nil, as what is not held, write (it or 0)");
  else if (is_about_nil(message, "attempt to concatenate "))
    snprintf(into, size, "; to join what may be nil, write tostring(it)");
}
