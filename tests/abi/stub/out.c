/* SPDX-License-Identifier: Apache-2.0
 *
 * out.c: what happened, one JSON object on a line. Bytes go out as latin-1, so any reader gets them
 * back unchanged.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stub.h"

static int out = STDOUT_FILENO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void out_to(int fd) { out = fd; }

static void put(json *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(json *j, const char *format, ...) {
  char text[64];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (j->length + (size_t)length + 1 > j->capacity) {
    j->capacity = 2 * j->capacity + 256;
    j->text = must(realloc(j->text, j->capacity));
  }
  memcpy(j->text + j->length, text, (size_t)length + 1);
  j->length += (size_t)length;
}

/* A comma where one is due, and the key. key NULL: a value of a list. */
static void start(json *j, const char *key) {
  if (j->length > 0 && strchr("{[", j->text[j->length - 1]) == NULL) {
    put(j, ",");
  }
  if (key != NULL) {
    put(j, "\"%.60s\":", key);
  }
}

void json_bytes(json *j, const char *key, const void *ptr, size_t length) {
  start(j, key);
  put(j, "\"");
  for (size_t i = 0; i < length; i++) {
    unsigned char c = ((const unsigned char *)ptr)[i];
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
      put(j, "\\u%04x", c);
    } else {
      put(j, "%c", c);
    }
  }
  put(j, "\"");
}

void json_text(json *j, const char *key, const char *text) {
  json_bytes(j, key, text, strlen(text));
}

void json_number(json *j, const char *key, double value) {
  start(j, key);
  put(j, "%.17g", value);
}

void json_bool(json *j, const char *key, bool value) {
  start(j, key);
  put(j, value ? "true" : "false");
}

void json_open(json *j, const char *key, char bracket) {
  start(j, key);
  put(j, "%c", bracket);
}

void json_close(json *j, char bracket) { put(j, "%c", bracket); }

json event(const char *kind, const char *name) {
  json j = {NULL, 0, 0};
  put(&j, "{");
  json_text(&j, kind, name);
  return j;
}

void json_send(json *j) {
  put(j, "}\n");
  pthread_mutex_lock(&lock);
  for (size_t done = 0; done < j->length;) {
    ssize_t n = write(out, j->text + done, j->length - done);
    if (n < 0) {
      perror("stub host: output");
      abort();
    }
    done += (size_t)n;
  }
  pthread_mutex_unlock(&lock);
  free(j->text);
}

void breach(const char *what, const char *where) {
  json j = event("breach", what);
  json_text(&j, "where", where);
  json_send(&j);
}

void fail(const char *what, const char *detail) {
  json j = event("error", what);
  json_text(&j, "detail", detail);
  json_send(&j);
}
