/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/error_help.h"

#include <stdio.h>
#include <string.h>

#include "wire/script_names.h"

static const char* const hunt_function_names[] = {HUNT_FUNCTIONS(SCRIPT_NAME_TEXT)};
enum { hunt_function_count = sizeof hunt_function_names / sizeof hunt_function_names[0] };

/* Whether one letter more, less or another, or two letters swapped, make `a` into `b`. */
static int nearly_equal(const char* a, size_t a_size, const char* b) {
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

void error_help(const char* message, char* into, size_t size) {
  size_t name_size = 0;
  const char* name = name_behind(message, "attempt to call field '", &name_size);
  into[0] = '\0';
  for (size_t i = 0; name != NULL && i < hunt_function_count; ++i)
    if (nearly_equal(name, name_size, hunt_function_names[i])) {
      snprintf(into, size, "; did you mean hunt.%s?", hunt_function_names[i]);
      return;
    }
  name = name_behind(message, "attempt to index field '", &name_size);
  if (name != NULL && strstr(name, "(a function value)") != NULL &&
      is_hunt_function(name, name_size)) {
    snprintf(into, size, "; write hunt.%.*s()", (int)name_size, name);
    return;
  }
  if (strstr(message, "nil") == NULL) return;
  if (strstr(message, "attempt to perform arithmetic on ") != NULL ||
      strstr(message, "attempt to compare ") != NULL)
    snprintf(into, size, "; if it may be nil, as what is not held, write (it or 0)");
  else if (strstr(message, "attempt to concatenate ") != NULL)
    snprintf(into, size, "; to join what may be nil, write tostring(it)");
}
