/* SPDX-License-Identifier: Apache-2.0
 *
 * changes.c: what Python changes of a stream's headers and bodies; services.h says what comes back.
 */
#include "host.h"
#include "seat.h"
#include "statistics.h"
#include "stream.h"

static bool counted(pyfilter_seat *seat) { return seat->stream->config->statistics != NULL; }

/* Notes a change, if anybody counts, and passes on whether it was done. Within a change of a body
 * Envoy may have answered that it is too large, which can end the stream (stream.c): where no hook
 * of it is on the stack, nobody sits in the seat then. */
static int note(pyfilter_seat *seat, uint64_t serial, int part, bool done, size_t bytes) {
  if (!pyfilter_seat_gone(seat, serial) && counted(seat)) {
    statistics_change(seat->stream, part, done ? EFFECT_APPLIED : EFFECT_FAILED, done ? bytes : 0);
  }
  return done;
}

static bool there(void *envoy, int map, slice name) {
  slice ignored;
  return host_http.header(envoy, map, name, &ignored);
}

/* Removing what is not there is no change, whatever Envoy says of it. */
static int header_remove(pyfilter_seat *seat, uint64_t serial, void *envoy, int map, slice name) {
  bool changes = counted(seat) && there(envoy, map, name);
  bool done = envoy_dynamic_module_callback_http_set_header(envoy, map, lent(name),
                                                            lent((slice){"", 0}));
  return changes ? note(seat, serial, map, done, name.length) : done;
}

int pyfilter_header_set(pyfilter_seat *seat, uint64_t serial, int map, const char *name,
                        size_t name_length, const char *value, size_t value_length) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  slice key = {name, name_length};
  if (envoy == NULL) {
    return -1;
  }
  if (value_length == 0) {
    return header_remove(seat, serial, envoy, map, key);
  }
  bool done = envoy_dynamic_module_callback_http_set_header(envoy, map, lent(key),
                                                            lent((slice){value, value_length}));
  return note(seat, serial, map, done, name_length + value_length);
}

int pyfilter_header_add(pyfilter_seat *seat, uint64_t serial, int map, const char *name,
                        size_t name_length, const char *value, size_t value_length) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  if (envoy == NULL) {
    return -1;
  }
  bool done = envoy_dynamic_module_callback_http_add_header(
      envoy, map, lent((slice){name, name_length}), lent((slice){value, value_length}));
  return note(seat, serial, map, done, name_length + value_length);
}

static int part_of(int kind) {
  return kind == envoy_dynamic_module_type_http_body_type_ReceivedRequestBody ||
                 kind == envoy_dynamic_module_type_http_body_type_BufferedRequestBody
             ? PART_REQUEST_BODY
             : PART_RESPONSE_BODY;
}

int pyfilter_body_drain(pyfilter_seat *seat, uint64_t serial, int kind, size_t size) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  if (envoy == NULL) {
    return -1;
  }
  bool done = envoy_dynamic_module_callback_http_drain_body(envoy, kind, size);
  return note(seat, serial, part_of(kind), done, 0);
}

/* A part of a body that is not there refuses: another one may take it, so that is no failure. */
int pyfilter_body_append(pyfilter_seat *seat, uint64_t serial, int kind, const char *data,
                         size_t length) {
  void *envoy = pyfilter_seat_envoy(seat, serial);
  if (envoy == NULL) {
    return -1;
  }
  return envoy_dynamic_module_callback_http_append_body(envoy, kind, lent((slice){data, length})) &&
         note(seat, serial, part_of(kind), true, length);
}

void pyfilter_change_refused(pyfilter_seat *seat, uint64_t serial, int part, int effect) {
  if (pyfilter_seat_envoy(seat, serial) != NULL && counted(seat)) {
    statistics_change(seat->stream, part, effect, 0);
  }
}
