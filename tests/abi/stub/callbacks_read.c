/* SPDX-License-Identifier: Apache-2.0
 *
 * callbacks_read.c: what a module reads and changes of its stream: headers, bodies, attributes.
 */
#include "stub.h"

#include <stdlib.h>
#include <string.h>

#define MAY(name) may_call(envoy, #name)

/* --- headers --- */

HOST_CALLBACK size_t CALLBACK(http_get_headers_size)(void *envoy, TYPE(http_header_type) map) {
  stream *s = envoy;
  return MAY(http_get_headers_size) && s->maps[map].present ? s->maps[map].count : 0;
}

HOST_CALLBACK bool CALLBACK(http_get_headers)(void *envoy, TYPE(http_header_type) map,
                                              TYPE(envoy_http_header) * result) {
  stream *s = envoy;
  if (!MAY(http_get_headers) || !s->maps[map].present) {
    return false;
  }
  for (size_t i = 0; i < s->maps[map].count; i++) {
    pair p = s->maps[map].pairs[i];
    result[i] = (TYPE(envoy_http_header)){lend(s, map, p.name), p.name.length,
                                          lend(s, map, p.value), p.value.length};
  }
  return true;
}

HOST_CALLBACK bool CALLBACK(http_get_header)(void *envoy, TYPE(http_header_type) map,
                                             TYPE(module_buffer) key, TYPE(envoy_buffer) * result,
                                             size_t index, size_t *total) {
  stream *s = envoy;
  size_t found = 0;
  bool given = false;
  *result = (TYPE(envoy_buffer)){NULL, 0};
  if (MAY(http_get_header) && s->maps[map].present) {
    for (size_t i = 0; i < s->maps[map].count; i++) {
      if (bytes_equal(s->maps[map].pairs[i].name, key.ptr, key.length) && found++ == index) {
        *result = lend_buffer(s, map, s->maps[map].pairs[i].value);
        given = true;
      }
    }
  }
  if (total != NULL) {
    *total = found;
  }
  return given;
}

static void remove_header(stream *s, int map, bytes name) {
  header_map *m = &s->maps[map];
  size_t kept = 0;
  for (size_t i = 0; i < m->count; i++) {
    if (bytes_equal(m->pairs[i].name, name.ptr, name.length)) {
      bytes_free(&m->pairs[i].name);
      bytes_free(&m->pairs[i].value);
    } else {
      m->pairs[kept++] = m->pairs[i];
    }
  }
  m->count = kept;
}

static bool change_header(stream *s, int map, bytes name, bytes value, bool replace) {
  if (!s->maps[map].present || (value.length == 0 && !replace)) {
    return false;
  }
  lend_release(s, map, 0);
  if (replace) {
    remove_header(s, map, name);
  }
  if (value.length > 0) { /* an empty value only removes */
    map_add(&s->maps[map], bytes_copy(name.ptr, name.length), bytes_copy(value.ptr, value.length));
  }
  return true;
}

HOST_CALLBACK bool CALLBACK(http_set_header)(void *envoy, TYPE(http_header_type) map,
                                             TYPE(module_buffer) key, TYPE(module_buffer) value) {
  return MAY(http_set_header) &&
         change_header(envoy, (int)map, bytes_of(key), bytes_of(value), true);
}

HOST_CALLBACK bool CALLBACK(http_add_header)(void *envoy, TYPE(http_header_type) map,
                                             TYPE(module_buffer) key, TYPE(module_buffer) value) {
  return MAY(http_add_header) &&
         change_header(envoy, (int)map, bytes_of(key), bytes_of(value), false);
}

/* --- bodies: two slices, and between them one that is NULL --- */

HOST_CALLBACK size_t CALLBACK(http_get_body_size)(void *envoy, TYPE(http_body_type) which) {
  return MAY(http_get_body_size) ? ((stream *)envoy)->body[which].length : 0;
}

HOST_CALLBACK size_t CALLBACK(http_get_body_chunks_size)(void *envoy, TYPE(http_body_type) which) {
  return MAY(http_get_body_chunks_size) && ((stream *)envoy)->body[which].length > 0 ? 3 : 0;
}

HOST_CALLBACK bool CALLBACK(http_get_body_chunks)(void *envoy, TYPE(http_body_type) which,
                                                  TYPE(envoy_buffer) * result) {
  stream *s = envoy;
  if (!MAY(http_get_body_chunks) || s->body[which].ptr == NULL) {
    return false;
  }
  bytes b = s->body[which];
  size_t half = b.length / 2;
  if (b.length == 0) {
    return true; /* no slice */
  }
  result[0] = lend_buffer(s, BODY, (bytes){b.ptr, half});
  result[1] = (TYPE(envoy_buffer)){NULL, 0};
  result[2] = lend_buffer(s, BODY, (bytes){b.ptr + half, b.length - half});
  return true;
}

HOST_CALLBACK bool CALLBACK(http_append_body)(void *envoy, TYPE(http_body_type) which,
                                              TYPE(module_buffer) data) {
  stream *s = envoy;
  if (!MAY(http_append_body) || s->body[which].ptr == NULL) {
    return false;
  }
  bytes *b = &s->body[which];
  lend_release(s, BODY, 0);
  b->ptr = must(realloc(b->ptr, b->length + data.length + 1));
  if (data.length > 0) {
    memcpy(b->ptr + b->length, data.ptr, data.length);
  }
  b->length += data.length;
  return true;
}

HOST_CALLBACK bool CALLBACK(http_drain_body)(void *envoy, TYPE(http_body_type) which, size_t size) {
  stream *s = envoy;
  if (!MAY(http_drain_body) || s->body[which].ptr == NULL) {
    return false;
  }
  bytes *b = &s->body[which];
  lend_release(s, BODY, 0);
  size_t gone = size < b->length ? size : b->length;
  memmove(b->ptr, b->ptr + gone, b->length - gone);
  b->length -= gone;
  return true;
}

HOST_CALLBACK bool CALLBACK(http_received_buffered_request_body)(void *envoy) {
  return MAY(http_received_buffered_request_body) && ((stream *)envoy)->same_buffer;
}

HOST_CALLBACK bool CALLBACK(http_received_buffered_response_body)(void *envoy) {
  return MAY(http_received_buffered_response_body) && ((stream *)envoy)->same_buffer;
}

HOST_CALLBACK uint64_t CALLBACK(http_get_buffer_limit)(void *envoy) {
  return MAY(http_get_buffer_limit) ? ((stream *)envoy)->buffer_limit : 0;
}

HOST_CALLBACK void CALLBACK(http_set_buffer_limit)(void *envoy, uint64_t limit) {
  if (MAY(http_set_buffer_limit)) {
    ((stream *)envoy)->buffer_limit = limit;
  }
}

/* --- attributes --- */

static attribute *attribute_find(stream *s, int id, char kind) {
  attribute *a = s->attributes;
  while (a != NULL && (a->id != id || a->kind != kind)) {
    a = a->next;
  }
  return a;
}

HOST_CALLBACK bool CALLBACK(http_filter_get_attribute_string)(void *envoy, TYPE(attribute_id) id,
                                                              TYPE(envoy_buffer) * result) {
  attribute *a = MAY(http_filter_get_attribute_string) ? attribute_find(envoy, (int)id, 's') : NULL;
  if (a != NULL) {
    *result = lend_buffer(envoy, HOOK, a->text);
  }
  return a != NULL;
}

HOST_CALLBACK bool CALLBACK(http_filter_get_attribute_int)(void *envoy, TYPE(attribute_id) id,
                                                           uint64_t *result) {
  attribute *a = MAY(http_filter_get_attribute_int) ? attribute_find(envoy, (int)id, 'i') : NULL;
  if (a != NULL) {
    *result = a->number;
  }
  return a != NULL;
}

HOST_CALLBACK bool CALLBACK(http_filter_get_attribute_bool)(void *envoy, TYPE(attribute_id) id,
                                                            bool *result) {
  attribute *a = MAY(http_filter_get_attribute_bool) ? attribute_find(envoy, (int)id, 'b') : NULL;
  if (a != NULL) {
    *result = a->number != 0;
  }
  return a != NULL;
}

HOST_CALLBACK bool CALLBACK(http_get_cluster_name)(void *envoy, TYPE(envoy_buffer) * result) {
  attribute *a = MAY(http_get_cluster_name)
                     ? attribute_find(envoy, TYPE(attribute_id_XdsClusterName), 's')
                     : NULL;
  if (a != NULL) {
    *result = lend_buffer(envoy, HOOK, a->text);
  }
  return a != NULL;
}

HOST_CALLBACK uint32_t CALLBACK(http_filter_get_worker_index)(void *envoy) {
  return MAY(http_filter_get_worker_index) ? (uint32_t)((stream *)envoy)->worker : 0;
}

HOST_CALLBACK const void *CALLBACK(get_most_specific_route_config)(void *envoy) {
  return MAY(get_most_specific_route_config) ? ((stream *)envoy)->route : NULL;
}
