/* SPDX-License-Identifier: Apache-2.0
 *
 * reads.c: lists of what hooks read, and the bytes that a hook gets of them.
 */
#include "reads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy_abi.h"
#include "seat.h"

enum {
  MOST_READS = 64,   /* of one hook */
  MOST_HEADERS = 128, /* of a map that is looked through */
  MOST_PIECES = 16,  /* of a body */
  LENGTHS = 64,      /* names from this length on do not join a list */
  MAPS = 4,
  NONE = 0xff,
};

typedef struct {
  int source; /* READ_* */
  int attribute;
  uint8_t next;   /* of the same map, with a name as long */
  uint8_t length;
  char name[LENGTHS];
} read_item;

typedef struct list {
  struct list *older; /* kept: a worker may be reading it */
  unsigned count;
  bool of_map[MAPS];               /* whether anything of the map is in it */
  uint8_t first[MAPS][LENGTHS]; /* item by map and length of the name */
  read_item items[MOST_READS];
} list;

struct pyfilter_reads {
  pthread_mutex_t adding;
  _Atomic(list *) hooks[HOOKS];
};

typedef struct {
  const char *data; /* NULL: the stream does not have it */
  size_t length;
} value;

/* What one crossing hands over, while it is gathered. */
typedef struct {
  value values[MOST_READS];
  char numbers[MOST_READS][24];
} gathered;

pyfilter_reads *reads_new(void) {
  pyfilter_reads *all = calloc(1, sizeof *all);
  if (all == NULL) {
    abort();
  }
  pthread_mutex_init(&all->adding, NULL);
  return all;
}

void reads_free(pyfilter_reads *all) {
  for (int hook = 0; hook < HOOKS; hook++) {
    list *next = atomic_load(&all->hooks[hook]);
    while (next != NULL) {
      list *l = next;
      next = l->older;
      free(l);
    }
  }
  pthread_mutex_destroy(&all->adding);
  free(all);
}

/* A copy of the list, which may be NULL, with one more item at its end. */
static list *longer(list *old, int source, int attribute, const char *name, size_t length) {
  list *new = malloc(sizeof *new);
  if (new == NULL) {
    return NULL;
  }
  if (old != NULL) {
    *new = *old;
  } else {
    memset(new, 0, sizeof *new);
    memset(new->first, NONE, sizeof new->first);
  }
  new->older = old;
  read_item *item = &new->items[new->count];
  item->source = source;
  item->attribute = attribute;
  item->length = (uint8_t)length;
  memcpy(item->name, name, length);
  if (source < MAPS) {
    new->of_map[source] = true;
    item->next = new->first[source][length];
    new->first[source][length] = (uint8_t)new->count;
  }
  new->count++;
  return new;
}

static int place_of(const list *l, int source, int attribute, const char *name, size_t length) {
  for (unsigned i = 0; l != NULL && i < l->count; i++) {
    const read_item *item = &l->items[i];
    if (item->source == source && item->attribute == attribute && item->length == length &&
        memcmp(item->name, name, length) == 0) {
      return (int)i;
    }
  }
  return -1;
}

int pyfilter_reads_add(pyfilter_reads *all, int hook, int source, int attribute, const char *name,
                       size_t length) {
  if (length >= LENGTHS) {
    return -1;
  }
  pthread_mutex_lock(&all->adding);
  list *old = atomic_load_explicit(&all->hooks[hook], memory_order_relaxed);
  int place = place_of(old, source, attribute, name, length);
  if (place < 0 && (old == NULL || old->count < MOST_READS)) {
    list *new = longer(old, source, attribute, name, length);
    if (new != NULL) {
      place = (int)new->count - 1;
      atomic_store_explicit(&all->hooks[hook], new, memory_order_release);
    }
  }
  pthread_mutex_unlock(&all->adding);
  return place;
}

/* Of several values of a name, the first. */
static void match(const list *l, int map, const envoy_dynamic_module_type_envoy_http_header *header,
                  value *values) {
  if (header->key_length >= LENGTHS) {
    return;
  }
  for (uint8_t i = l->first[map][header->key_length]; i != NONE; i = l->items[i].next) {
    if (memcmp(l->items[i].name, header->key_ptr, header->key_length) == 0) {
      if (values[i].data == NULL) {
        values[i].data = header->value_length != 0 ? header->value_ptr : "";
        values[i].length = header->value_length;
      }
      return;
    }
  }
}

/* false: a map is larger than anybody looks through. */
static bool gather_headers(const list *l, void *envoy, value *values) {
  envoy_dynamic_module_type_envoy_http_header headers[MOST_HEADERS];
  for (int map = 0; map < MAPS; map++) {
    if (!l->of_map[map]) {
      continue;
    }
    size_t count = envoy_dynamic_module_callback_http_get_headers_size(envoy, map);
    if (count > MOST_HEADERS) {
      return false;
    }
    if (count != 0 && envoy_dynamic_module_callback_http_get_headers(envoy, map, headers)) {
      for (size_t i = 0; i < count; i++) {
        match(l, map, &headers[i], values);
      }
    }
  }
  return true;
}

static void gather_attribute(const read_item *item, void *envoy, value *v, char *number) {
  envoy_dynamic_module_type_envoy_buffer text = {NULL, 0};
  uint64_t integer = 0;
  bool flag = false;
  if (item->source == READ_TEXT) {
    if (envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy, item->attribute,
                                                                       &text)) {
      *v = (value){text.length != 0 ? text.ptr : "", text.length};
    }
  } else if (item->source == READ_INTEGER) {
    if (envoy_dynamic_module_callback_http_filter_get_attribute_int(envoy, item->attribute,
                                                                    &integer)) {
      *v = (value){number, (size_t)sprintf(number, "%llu", (unsigned long long)integer)};
    }
  } else if (envoy_dynamic_module_callback_http_filter_get_attribute_bool(envoy, item->attribute,
                                                                          &flag)) {
    *v = (value){flag ? "1" : "0", 1};
  }
}

/* Appends a value and a line feed; NULL when it does not fit. */
static char *put(char *to, const char *end, const value *v) {
  if (v->data == NULL) {
    return put(to, end, &(value){"\r", 1});
  }
  if ((size_t)(end - to) < v->length + 1) {
    return NULL;
  }
  memcpy(to, v->data, v->length);
  to[v->length] = '\n';
  return to + v->length + 1;
}

/* Whether nothing in the row could be taken for what separates it, or for what is absent. */
static bool is_plain(const char *area, const char *end, size_t values, size_t absent) {
  size_t feeds = 0;
  size_t returns = 0;
  /* By counters of a byte, which the compiler has sixteen of at once: so 255 bytes at a time. */
  while (area < end) {
    size_t length = end - area < UINT8_MAX ? (size_t)(end - area) : UINT8_MAX;
    uint8_t here_feeds = 0;
    uint8_t here_returns = 0;
    for (size_t i = 0; i < length; i++) {
      here_feeds += area[i] == '\n';
      here_returns += area[i] == '\r';
    }
    feeds += here_feeds;
    returns += here_returns;
    area += length;
  }
  return feeds == values && returns == absent;
}

size_t reads_run(const pyfilter_reads *all, int hook, void *envoy, char *area) {
  const list *l = atomic_load_explicit(&all->hooks[hook], memory_order_acquire);
  if (l == NULL) {
    return 0;
  }
  gathered g;
  memset(g.values, 0, l->count * sizeof *g.values);
  if (!gather_headers(l, envoy, g.values)) {
    return 0;
  }
  char *to = area;
  size_t absent = 0;
  for (unsigned i = 0; i < l->count && to != NULL; i++) {
    if (l->items[i].source >= MAPS) {
      gather_attribute(&l->items[i], envoy, &g.values[i], g.numbers[i]);
    }
    absent += g.values[i].data == NULL;
    to = put(to, area + SEAT_AREA, &g.values[i]);
  }
  /* Without the last line feed. */
  return to != NULL && is_plain(area, to, l->count, absent) ? (size_t)(to - area) - 1 : 0;
}

/* --- a whole map or body, for Python (services.h) --- */

int64_t pyfilter_headers_run(pyfilter_seat *seat, uint64_t serial, int map) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  if (envoy == NULL) {
    return -2;
  }
  envoy_dynamic_module_type_envoy_http_header headers[MOST_HEADERS];
  size_t count = envoy_dynamic_module_callback_http_get_headers_size(envoy, map);
  if (count > MOST_HEADERS) {
    return -1;
  }
  if (count == 0 || !envoy_dynamic_module_callback_http_get_headers(envoy, map, headers)) {
    return 0;
  }
  char *area = pyfilter_seat_area(seat);
  char *to = area;
  for (size_t i = 0; i < count && to != NULL; i++) {
    const envoy_dynamic_module_type_envoy_http_header *h = &headers[i];
    to = put(to, area + SEAT_AREA, &(value){h->key_length ? h->key_ptr : "", h->key_length});
    if (to != NULL) {
      to = put(to, area + SEAT_AREA, &(value){h->value_length ? h->value_ptr : "", h->value_length});
    }
  }
  return to != NULL && is_plain(area, to, 2 * count, 0) ? to - area - 1 : -1;
}

int64_t pyfilter_body_run(pyfilter_seat *seat, uint64_t serial, int which) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  if (envoy == NULL) {
    return -2;
  }
  envoy_dynamic_module_type_envoy_buffer pieces[MOST_PIECES];
  size_t count = envoy_dynamic_module_callback_http_get_body_chunks_size(envoy, which);
  if (count > MOST_PIECES) {
    return -1;
  }
  if (count == 0 || !envoy_dynamic_module_callback_http_get_body_chunks(envoy, which, pieces)) {
    return 0;
  }
  char *area = pyfilter_seat_area(seat);
  size_t length = 0;
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].length > SEAT_AREA - length) {
      return -1;
    }
    if (pieces[i].length > 0) {
      memcpy(area + length, pieces[i].ptr, pieces[i].length);
    }
    length += pieces[i].length;
  }
  return (int64_t)length;
}

int pyfilter_state_set(pyfilter_seat *seat, uint64_t serial, const char *key, size_t key_length,
                       const char *state, size_t state_length) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  envoy_dynamic_module_type_envoy_buffer old = {NULL, 0};
  envoy_dynamic_module_type_module_buffer name = {key, key_length};
  envoy_dynamic_module_type_module_buffer text = {state, state_length};
  if (envoy == NULL) {
    return -1;
  }
  return !envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy, name, &old) &&
         envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy, name, text);
}
