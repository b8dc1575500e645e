/* SPDX-License-Identifier: Apache-2.0
 *
 * fixed.c: the job written by hand for one purpose: the ten fields stand in the source. It reads
 * both header maps in bulk and puts a JSON line into the worker's ring; a thread writes the rings to
 * the file, and looks again after 20 ms when they were empty. The filter's name "state" has it write
 * a filter state, too. The config is the file's path.
 */
#define _GNU_SOURCE
#include "rest.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RING = 1 << 20, LINE = 8192, HEADERS = 128, IDLE_NS = 20 * 1000 * 1000 };

/* One for each worker: the worker moves head, the writing thread moves tail. */
typedef struct ring {
  struct ring *next;
  int file;
  _Atomic size_t head;
  _Atomic size_t tail;
  char bytes[RING];
} ring;

typedef struct {
  int file;
  bool state;
} filter_config;

typedef struct {
  const char *data;
  size_t length;
} slice;

typedef enum {
  METHOD, PATH, AUTHORITY, USER_AGENT, ACCEPT, REQUEST_ID,
  STATUS_CODE, CONTENT_TYPE, CONTENT_LENGTH, SERVED_BY, FIELDS
} field;

static _Atomic(ring *) rings;
static pthread_once_t writer_once = PTHREAD_ONCE_INIT;
static _Thread_local ring *own;

/* --- the writing thread --- */

/* Writes what a ring holds; true when it held something. */
static bool write_out(ring *r) {
  size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
  size_t head = atomic_load_explicit(&r->head, memory_order_acquire);
  if (head == tail) {
    return false;
  }
  size_t at = tail % RING;
  size_t run = head - tail < RING - at ? head - tail : RING - at;
  ssize_t written = write(r->file, r->bytes + at, run);
  if (written > 0) {
    atomic_store_explicit(&r->tail, tail + (size_t)written, memory_order_release);
  }
  return written > 0;
}

static void *write_forever(UNUSED void *nothing) {
  for (;;) {
    bool wrote = false;
    for (ring *r = atomic_load(&rings); r != NULL; r = r->next) {
      wrote |= write_out(r);
    }
    if (!wrote) {
      nanosleep(&(struct timespec){.tv_nsec = IDLE_NS}, NULL);
    }
  }
  return NULL;
}

static void start_writer(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, write_forever, NULL) != 0) {
    abort();
  }
}

static ring *new_ring(int file) {
  ring *r = calloc(1, sizeof *r);
  if (r == NULL) {
    abort();
  }
  r->file = file;
  r->next = atomic_load(&rings);
  while (!atomic_compare_exchange_weak(&rings, &r->next, r)) {
  }
  pthread_once(&writer_once, start_writer);
  return r;
}

/* Puts a line into the ring, or drops it when the ring is full. */
static void put(ring *r, const char *line, size_t length) {
  size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
  size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
  if (RING - (head - tail) < length) {
    return;
  }
  size_t at = head % RING;
  size_t first = length < RING - at ? length : RING - at;
  memcpy(r->bytes + at, line, first);
  memcpy(r->bytes, line + first, length - first);
  atomic_store_explicit(&r->head, head + length, memory_order_release);
}

/* --- the fields --- */

#define IS(text) (memcmp(h->key_ptr, text, sizeof text - 1) == 0)

static field request_field(const TYPE(envoy_http_header) * h) {
  switch (h->key_length) {
  case 5:
    return IS(":path") ? PATH : FIELDS;
  case 6:
    return IS("accept") ? ACCEPT : FIELDS;
  case 7:
    return IS(":method") ? METHOD : FIELDS;
  case 10:
    return IS(":authority") ? AUTHORITY : IS("user-agent") ? USER_AGENT : FIELDS;
  case 12:
    return IS("x-request-id") ? REQUEST_ID : FIELDS;
  default:
    return FIELDS;
  }
}

static field response_field(const TYPE(envoy_http_header) * h) {
  switch (h->key_length) {
  case 7:
    return IS(":status") ? STATUS_CODE : FIELDS;
  case 11:
    return IS("x-served-by") ? SERVED_BY : FIELDS;
  case 12:
    return IS("content-type") ? CONTENT_TYPE : FIELDS;
  case 14:
    return IS("content-length") ? CONTENT_LENGTH : FIELDS;
  default:
    return FIELDS;
  }
}

/* Reads one map in bulk; a map with more than HEADERS headers is left out. */
static void read_map(void *envoy, TYPE(http_header_type) map,
                     field (*which)(const TYPE(envoy_http_header) *), slice found[FIELDS]) {
  TYPE(envoy_http_header) headers[HEADERS];
  size_t count = CALL(get_headers_size)(envoy, map);
  if (count > HEADERS || !CALL(get_headers)(envoy, map, headers)) {
    return;
  }
  for (size_t i = 0; i < count; i++) {
    field f = which(&headers[i]);
    if (f != FIELDS) {
      found[f] = (slice){headers[i].value_ptr, headers[i].value_length};
    }
  }
}

/* --- the line --- */

static char *put_raw(char *out, const char *text, size_t length) {
  memcpy(out, text, length);
  return out + length;
}

#define RAW(out, text) put_raw(out, text, sizeof text - 1)

/* Appends a JSON string's inside. */
static char *put_escaped(char *out, slice s) {
  static const char HEX[] = "0123456789abcdef";
  for (size_t i = 0; i < s.length; i++) {
    unsigned char c = (unsigned char)s.data[i];
    if (c >= ' ' && c != '"' && c != '\\' && c < 0x7f) {
      *out++ = (char)c;
    } else if (c == '"' || c == '\\') {
      *out++ = '\\';
      *out++ = (char)c;
    } else {
      out = RAW(out, "\\u00");
      *out++ = HEX[c >> 4];
      *out++ = HEX[c & 15];
    }
  }
  return out;
}

/* What comes before each value: the key, and the end of the value before. */
#define KEY(before, name) {before "\"" name "\":\"", sizeof(before "\"" name "\":\"") - 1}
static const slice KEYS[FIELDS] = {
    KEY("{", "method"),           KEY("\",", "path"),          KEY("\",", "authority"),
    KEY("\",", "user_agent"),     KEY("\",", "accept"),        KEY("\",", "request_id"),
    KEY("\",", "response_code"),  KEY("\",", "content_type"),
    KEY("\",", "content_length"), KEY("\",", "served_by"),
};

static void write_line(ring *r, const slice found[FIELDS]) {
  char line[LINE];
  size_t worst = 3;
  for (field f = 0; f < FIELDS; f++) {
    worst += KEYS[f].length + found[f].length * 6;
  }
  if (worst > LINE) {
    return;
  }
  char *out = line;
  for (field f = 0; f < FIELDS; f++) {
    out = put_raw(out, KEYS[f].data, KEYS[f].length);
    out = put_escaped(out, found[f]);
  }
  out = RAW(out, "\"}\n");
  put(r, line, (size_t)(out - line));
}

static void write_state(void *envoy, const slice found[FIELDS]) {
  char value[LINE];
  const slice parts[] = {found[METHOD], found[PATH], found[USER_AGENT]};
  if (parts[0].length + parts[1].length + parts[2].length + 2 > LINE) {
    return;
  }
  char *out = put_raw(value, parts[0].data, parts[0].length);
  *out++ = ' ';
  out = put_raw(out, parts[1].data, parts[1].length);
  *out++ = ' ';
  out = put_raw(out, parts[2].data, parts[2].length);
  CALL(set_filter_state_bytes)(envoy, (TYPE(module_buffer)){"bench", 5},
                               (TYPE(module_buffer)){value, (size_t)(out - value)});
}

/* --- the hooks --- */

const void *HOOK(config_new)(UNUSED void *envoy, TYPE(envoy_buffer) name,
                             TYPE(envoy_buffer) config) {
  char *path = strndup(config.ptr, config.length);
  filter_config *made = calloc(1, sizeof *made);
  if (path == NULL || made == NULL) {
    abort();
  }
  made->file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  made->state = name.length == 5 && memcmp(name.ptr, "state", 5) == 0;
  free(path);
  return made->file < 0 ? NULL : made;
}

/* A stream needs nothing of its own: the config stands for it. */
const void *HOOK(new)(const void *config, UNUSED void *envoy) { return config; }

void HOOK(stream_complete)(void *envoy, const void *stream) {
  const filter_config *config = stream;
  slice found[FIELDS] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0},
                         {"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0}};
  read_map(envoy, TYPE(http_header_type_RequestHeader), request_field, found);
  read_map(envoy, TYPE(http_header_type_ResponseHeader), response_field, found);
  if (own == NULL) {
    own = new_ring(config->file);
  }
  write_line(own, found);
  if (config->state) {
    write_state(envoy, found);
  }
}
