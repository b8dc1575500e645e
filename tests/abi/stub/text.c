/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: bytes that are exactly as long as they say, and the script's escapes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stub.h"

void *must(void *memory) {
  if (memory == NULL) {
    perror("stub host");
    abort();
  }
  return memory;
}

bytes bytes_copy(const void *ptr, size_t length) {
  if (length == 0) {
    return (bytes){ptr == NULL ? NULL : must(malloc(1)), 0};
  }
  bytes copy = {must(malloc(length)), length};
  memcpy(copy.ptr, ptr, length);
  return copy;
}

bytes bytes_of(TYPE(module_buffer) buffer) { return (bytes){(char *)buffer.ptr, buffer.length}; }

bool bytes_equal(bytes a, const void *ptr, size_t length) {
  return a.length == length && (length == 0 || memcmp(a.ptr, ptr, length) == 0);
}

void bytes_free(bytes *b) {
  free(b->ptr);
  *b = (bytes){NULL, 0};
}

static int digit(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

bytes unescape(const char *token) {
  if (strcmp(token, "\\0") == 0) {
    return (bytes){NULL, 0};
  }
  char *text = must(malloc(strlen(token) + 1));
  size_t length = 0;
  for (const char *c = token; *c != '\0'; c++) {
    if (c[0] != '\\') {
      text[length++] = *c;
    } else if (c[1] == 'x' && c[2] != '\0' && c[3] != '\0') {
      text[length++] = (char)(digit(c[2]) * 16 + digit(c[3]));
      c += 3;
    } else {
      c++; /* \e and whatever else: nothing */
      if (*c == '\0') {
        break;
      }
    }
  }
  bytes exact = bytes_copy(text, length);
  free(text);
  return exact;
}
