/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c: filter state, metadata and attributes of a stream.
 */
#include "stub.h"

#include <stdlib.h>
#include <string.h>

#define MAY(name) may_call(envoy, #name)
enum { FILTER_STATE = -1 };

static const bytes NO_NAMESPACE = {NULL, 0};

entry *entry_find(stream *s, int source, bytes ns, bytes key) {
  entry *e = s->entries;
  while (e != NULL && (e->source != source || !bytes_equal(e->ns, ns.ptr, ns.length) ||
                       !bytes_equal(e->key, key.ptr, key.length))) {
    e = e->next;
  }
  return e;
}

static void entry_clear(entry *e) {
  for (size_t i = 0; i < e->count; i++) {
    bytes_free(&e->texts[i]);
  }
  free(e->texts);
  free(e->numbers);
  e->texts = NULL;
  e->numbers = NULL;
  e->count = 0;
}

/* An empty entry of that kind; one of the same name loses its value. */
entry *entry_put(stream *s, int source, bytes ns, bytes key, char kind) {
  entry *e = entry_find(s, source, ns, key);
  if (e == NULL) {
    e = must(calloc(1, sizeof *e));
    e->next = s->entries;
    e->source = source;
    e->ns = bytes_copy(ns.ptr, ns.length);
    e->key = bytes_copy(key.ptr, key.length);
    s->entries = e;
  }
  lend_release(s, STATE, 0);
  entry_clear(e);
  e->kind = kind;
  return e;
}

void entry_add(entry *e, bytes text, double number) {
  e->texts = must(realloc(e->texts, (e->count + 1) * sizeof *e->texts));
  e->numbers = must(realloc(e->numbers, (e->count + 1) * sizeof *e->numbers));
  e->texts[e->count] = bytes_copy(text.ptr, text.length);
  e->numbers[e->count++] = number;
}

void entries_free(stream *s) {
  while (s->entries != NULL) {
    entry *e = s->entries;
    s->entries = e->next;
    entry_clear(e);
    bytes_free(&e->ns);
    bytes_free(&e->key);
    free(e);
  }
}

void attribute_put(stream *s, int id, char kind, bytes text, uint64_t number) {
  attribute *a = must(malloc(sizeof *a));
  *a = (attribute){s->attributes, id, kind, bytes_copy(text.ptr, text.length), number};
  s->attributes = a;
}

/* --- filter state --- */

HOST_CALLBACK bool CALLBACK(http_get_filter_state_bytes)(void *envoy, TYPE(module_buffer) key,
                                                         TYPE(envoy_buffer) * result) {
  entry *e = MAY(http_get_filter_state_bytes)
                 ? entry_find(envoy, FILTER_STATE, NO_NAMESPACE, bytes_of(key))
                 : NULL;
  bool held = e != NULL && e->kind == 's';
  if (held) {
    *result = lend_buffer(envoy, STATE, e->texts[0]);
  }
  return held;
}

/* An object of Envoy's own filters, or bytes, which are one, too. */
HOST_CALLBACK bool CALLBACK(http_get_filter_state_typed)(void *envoy, TYPE(module_buffer) key,
                                                         TYPE(envoy_buffer) * result) {
  entry *e = MAY(http_get_filter_state_typed)
                 ? entry_find(envoy, FILTER_STATE, NO_NAMESPACE, bytes_of(key))
                 : NULL;
  bool held = e != NULL && (e->kind == 'o' || e->kind == 's');
  if (held) {
    *result = lend_buffer(envoy, STATE, e->texts[0]);
  }
  return held;
}

HOST_CALLBACK bool CALLBACK(http_set_filter_state_bytes)(void *envoy, TYPE(module_buffer) key,
                                                         TYPE(module_buffer) value) {
  if (!MAY(http_set_filter_state_bytes)) {
    return false;
  }
  entry *e = entry_find(envoy, FILTER_STATE, NO_NAMESPACE, bytes_of(key));
  if (e != NULL && e->kind == 'o') {
    breach("filter state that another filter's object holds", "set_filter_state_bytes");
    return false;
  }
  entry_add(entry_put(envoy, FILTER_STATE, NO_NAMESPACE, bytes_of(key), 's'), bytes_of(value), 0);
  inject(envoy, "set_filter_state_bytes");
  return true;
}

/* --- metadata: one function for each kind of value --- */

static entry *value_of(stream *s, int source, TYPE(module_buffer) ns, TYPE(module_buffer) key,
                       char kind, size_t index) {
  entry *e = entry_find(s, source, bytes_of(ns), bytes_of(key));
  return e != NULL && e->kind == kind && index < e->count ? e : NULL;
}

#define ONE(name, kind, c_type, assignment)                                                        \
  HOST_CALLBACK bool CALLBACK(http_get_metadata_##name)(void *envoy, TYPE(metadata_source) source, \
                                                        TYPE(module_buffer) ns,                    \
                                                        TYPE(module_buffer) key, c_type *result) { \
    entry *e =                                                                                     \
        MAY(http_get_metadata_##name) ? value_of(envoy, (int)source, ns, key, kind, 0) : NULL;     \
    size_t index = 0;                                                                              \
    if (e != NULL) {                                                                               \
      *result = assignment;                                                                        \
    }                                                                                              \
    return e != NULL;                                                                              \
  }

#define LISTED(name, kind, c_type, assignment)                                                     \
  HOST_CALLBACK bool CALLBACK(http_get_metadata_list_##name)(                                      \
      void *envoy, TYPE(metadata_source) source, TYPE(module_buffer) ns, TYPE(module_buffer) key,  \
      size_t index, c_type *result) {                                                              \
    entry *e = MAY(http_get_metadata_list_##name)                                                  \
                   ? value_of(envoy, (int)source, ns, key, kind, index)                            \
                   : NULL;                                                                         \
    if (e != NULL) {                                                                               \
      *result = assignment;                                                                        \
    }                                                                                              \
    return e != NULL;                                                                              \
  }

ONE(string, 's', TYPE(envoy_buffer), lend_buffer(envoy, STATE, e->texts[index]))
ONE(number, 'n', double, e->numbers[index])
ONE(bool, 'b', bool, e->numbers[index] != 0)
LISTED(string, 'S', TYPE(envoy_buffer), lend_buffer(envoy, STATE, e->texts[index]))
LISTED(number, 'N', double, e->numbers[index])
LISTED(bool, 'B', bool, e->numbers[index] != 0)

HOST_CALLBACK bool CALLBACK(http_get_metadata_list_size)(void *envoy, TYPE(metadata_source) source,
                                                         TYPE(module_buffer) ns,
                                                         TYPE(module_buffer) key, size_t *result) {
  entry *e = MAY(http_get_metadata_list_size)
                 ? entry_find(envoy, (int)source, bytes_of(ns), bytes_of(key))
                 : NULL;
  bool list = e != NULL && strchr("SNB", e->kind) != NULL;
  if (list) {
    *result = e->count;
  }
  return list;
}

/* Keys of a namespace (ns NULL: the namespaces themselves, each once). */
static size_t names(stream *s, int source, TYPE(module_buffer) * ns, TYPE(envoy_buffer) * result) {
  size_t count = 0;
  for (entry *e = s->entries; e != NULL; e = e->next) {
    bool wanted = e->source == source;
    if (ns != NULL) {
      wanted = wanted && bytes_equal(e->ns, ns->ptr, ns->length);
    } else {
      for (entry *d = s->entries; d != e && wanted; d = d->next) {
        wanted = d->source != source || !bytes_equal(d->ns, e->ns.ptr, e->ns.length);
      }
    }
    if (wanted && result != NULL) {
      result[count] = lend_buffer(s, STATE, ns != NULL ? e->key : e->ns);
    }
    count += wanted;
  }
  return count;
}

HOST_CALLBACK size_t CALLBACK(http_get_metadata_keys_count)(void *envoy,
                                                            TYPE(metadata_source) source,
                                                            TYPE(module_buffer) ns) {
  return MAY(http_get_metadata_keys_count) ? names(envoy, (int)source, &ns, NULL) : 0;
}

HOST_CALLBACK bool CALLBACK(http_get_metadata_keys)(void *envoy, TYPE(metadata_source) source,
                                                    TYPE(module_buffer) ns,
                                                    TYPE(envoy_buffer) * result) {
  return MAY(http_get_metadata_keys) && names(envoy, (int)source, &ns, result) > 0;
}

HOST_CALLBACK size_t CALLBACK(http_get_metadata_namespaces_count)(void *envoy,
                                                                  TYPE(metadata_source) source) {
  return MAY(http_get_metadata_namespaces_count) ? names(envoy, (int)source, NULL, NULL) : 0;
}

HOST_CALLBACK bool CALLBACK(http_get_metadata_namespaces)(void *envoy, TYPE(metadata_source) source,
                                                          TYPE(envoy_buffer) * result) {
  return MAY(http_get_metadata_namespaces) && names(envoy, (int)source, NULL, result) > 0;
}

#define SET(name, kind, c_type, text, number)                                                      \
  HOST_CALLBACK void CALLBACK(http_set_dynamic_metadata_##name)(                                   \
      void *envoy, TYPE(module_buffer) ns, TYPE(module_buffer) key, c_type value) {                \
    if (MAY(http_set_dynamic_metadata_##name)) {                                                   \
      entry_add(entry_put(envoy, 0, bytes_of(ns), bytes_of(key), kind), text, number);             \
    }                                                                                              \
  }

#define APPEND(name, letter, c_type, text, number)                                                 \
  HOST_CALLBACK bool CALLBACK(http_add_dynamic_metadata_list_##name)(                              \
      void *envoy, TYPE(module_buffer) ns, TYPE(module_buffer) key, c_type value) {                \
    if (!MAY(http_add_dynamic_metadata_list_##name)) {                                             \
      return false;                                                                                \
    }                                                                                              \
    entry *e = entry_find(envoy, 0, bytes_of(ns), bytes_of(key));                                  \
    if (e != NULL && e->kind != letter) {                                                          \
      return false;                                                                                \
    }                                                                                              \
    entry_add(e != NULL ? e : entry_put(envoy, 0, bytes_of(ns), bytes_of(key), letter), text,      \
              number);                                                                             \
    return true;                                                                                   \
  }

static const bytes NO_TEXT = {NULL, 0};
SET(string, 's', TYPE(module_buffer), bytes_of(value), 0)
SET(number, 'n', double, NO_TEXT, value)
SET(bool, 'b', bool, NO_TEXT, value)
APPEND(string, 'S', TYPE(module_buffer), bytes_of(value), 0)
APPEND(number, 'N', double, NO_TEXT, value)
APPEND(bool, 'B', bool, NO_TEXT, value)

/* --- for the script --- */

static void value_print(json *j, entry *e) {
  bool list = strchr("SNB", e->kind) != NULL;
  if (list) {
    json_open(j, "value", '[');
  }
  for (size_t i = 0; i < e->count; i++) {
    const char *key = list ? NULL : "value";
    if (e->kind == 's' || e->kind == 'S' || e->kind == 'o') {
      json_bytes(j, key, e->texts[i].ptr, e->texts[i].length);
    } else if (e->kind == 'b' || e->kind == 'B') {
      json_bool(j, key, e->numbers[i] != 0);
    } else {
      json_number(j, key, e->numbers[i]);
    }
  }
  if (list) {
    json_close(j, ']');
  }
}

void state_print(stream *s) {
  for (entry *e = s->entries; e != NULL; e = e->next) {
    json j = event("state", e->source == FILTER_STATE ? "filter_state" : "metadata");
    json_number(&j, "source", e->source);
    json_bytes(&j, "namespace", e->ns.ptr, e->ns.length);
    json_bytes(&j, "key", e->key.ptr, e->key.length);
    value_print(&j, e);
    json_send(&j);
  }
}
