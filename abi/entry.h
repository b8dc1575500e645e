/* SPDX-License-Identifier: Apache-2.0
 *
 * entry.h: what an entry says of a stream, before it has a format.
 *
 * capture.c fills an entry from a host; encode_json.c writes it. Texts and headers are Envoy's own
 * memory, borrowed until the hook ends.
 */
#ifndef PYFILTER_ENTRY_H
#define PYFILTER_ENTRY_H

#include <stdatomic.h>

#include "host.h"
#include "plan.h"
#include "rules.h"

/* What a field holds. */
typedef enum { FIELD_TEXT, FIELD_NUMBER, FIELD_TRUE, FIELD_HEADERS, FIELD_NOTES } field_type;

/* When a field is known: from the request on, or when the stream has a response. */
enum { FROM_REQUEST = 0, FROM_RESPONSE = 1 };

/* Every field: name, type, when it is known, the first release that can tell it. In the order of
 * the entry; invalid_utf8 is the last, because it is known last. */
#define ENTRY_FIELDS(X)                                                                            \
  X(kind, FIELD_TEXT, FROM_REQUEST, 38)                                                            \
  X(time_unix_nano, FIELD_NUMBER, FROM_REQUEST, 38)                                                \
  X(start_time_unix_nano, FIELD_NUMBER, FROM_RESPONSE, 38)                                         \
  X(instance, FIELD_TEXT, FROM_REQUEST, 38)                                                        \
  X(request_id, FIELD_TEXT, FROM_REQUEST, 38)                                                      \
  X(protocol, FIELD_TEXT, FROM_REQUEST, 38)                                                        \
  X(method, FIELD_TEXT, FROM_REQUEST, 38)                                                          \
  X(scheme, FIELD_TEXT, FROM_REQUEST, 38)                                                          \
  X(authority, FIELD_TEXT, FROM_REQUEST, 38)                                                       \
  X(path, FIELD_TEXT, FROM_REQUEST, 38)                                                            \
  X(response_code, FIELD_NUMBER, FROM_RESPONSE, 38)                                                \
  X(response_code_details, FIELD_TEXT, FROM_RESPONSE, 38)                                          \
  X(response_flags, FIELD_TEXT, FROM_RESPONSE, 39)                                                 \
  X(route_name, FIELD_TEXT, FROM_REQUEST, 38)                                                      \
  X(upstream_host, FIELD_TEXT, FROM_RESPONSE, 38)                                                  \
  X(upstream_cluster, FIELD_TEXT, FROM_REQUEST, 38)                                                \
  X(downstream_remote_address, FIELD_TEXT, FROM_REQUEST, 38)                                       \
  X(downstream_local_address, FIELD_TEXT, FROM_REQUEST, 38)                                        \
  X(request_headers, FIELD_HEADERS, FROM_REQUEST, 38)                                              \
  X(request_trailers, FIELD_HEADERS, FROM_RESPONSE, 38)                                            \
  X(response_headers, FIELD_HEADERS, FROM_RESPONSE, 38)                                            \
  X(response_trailers, FIELD_HEADERS, FROM_RESPONSE, 38)                                           \
  X(grpc_status, FIELD_NUMBER, FROM_RESPONSE, 38)                                                  \
  X(bytes_received, FIELD_NUMBER, FROM_RESPONSE, 40)                                               \
  X(bytes_sent, FIELD_NUMBER, FROM_RESPONSE, 39)                                                   \
  X(duration_us, FIELD_NUMBER, FROM_RESPONSE, 38)                                                  \
  X(duration_ms, FIELD_NUMBER, FROM_RESPONSE, 38)                                                  \
  X(worker, FIELD_NUMBER, FROM_REQUEST, 38)                                                        \
  X(denied, FIELD_TRUE, FROM_RESPONSE, 38)                                                         \
  X(failed_hook, FIELD_TEXT, FROM_REQUEST, 38)                                                     \
  X(notes, FIELD_NOTES, FROM_REQUEST, 38)                                                          \
  X(rejected, FIELD_NOTES, FROM_REQUEST, 38)                                                       \
  X(missing, FIELD_NOTES, FROM_REQUEST, 38)                                                        \
  X(invalid_utf8, FIELD_TRUE, FROM_REQUEST, 38)

#define ENTRY_FIELD_ID(name, type, when, since) field_##name,
typedef enum { ENTRY_FIELDS(ENTRY_FIELD_ID) FIELD_COUNT } field_id;

#define FIELD_BIT(name) (UINT64_C(1) << field_##name)

typedef struct field_spec {
  slice name;
  slice json_key; /* with quotes, colon, and the comma before it */
  field_type type;
  int when;
  int since;
} field_spec;

extern const field_spec FIELDS[FIELD_COUNT];

/* The header maps; the values are those of envoy_dynamic_module_type_http_header_type. */
enum { MAP_REQUEST, MAP_REQUEST_TRAILERS, MAP_RESPONSE, MAP_RESPONSE_TRAILERS, MAP_COUNT };

/* One header map as it stood when it was read. */
typedef struct header_view {
  envoy_dynamic_module_type_envoy_http_header *headers;
  size_t count;
} header_view;

static inline slice header_name(const header_view *map, size_t i) {
  return (slice){map->headers[i].key_ptr, map->headers[i].key_length};
}

static inline slice header_value(const header_view *map, size_t i) {
  return (slice){map->headers[i].value_ptr, map->headers[i].value_length};
}

/* The first value of a header; false when the map has none. */
bool header_find(const header_view *map, slice name, slice *value);

/* What Python noted of a stream, in order. */
typedef struct note {
  struct note *next;
  int kind; /* NOTE_* */
  slice key;
  slice text; /* for state formats */
  slice json; /* for entries */
} note;

typedef union field_value {
  slice text;
  uint64_t number;
} field_value;

enum { LONGEST_FLAGS = 192 };

typedef struct entry {
  uint64_t have; /* FIELD_BIT of the fields that are known */
  field_value value[FIELD_COUNT];
  header_view maps[MAP_COUNT];
  const note *notes;
  char flags[LONGEST_FLAGS]; /* the text of response_flags */
} entry;

/* What makes up the value of a filter-state key. */
typedef struct state_part {
  int op; /* PART_* */
  int map;
  slice text;
  size_t max_length;
  field_id field;
} state_part;

typedef struct state_key {
  slice key;
  state_part *parts;
  size_t count;
  _Atomic bool conflict_told; /* the only thing in a plan that a worker writes */
} state_key;

/* Made while a config loads, read-only after that. */
struct plan {
  slice instance;
  uint32_t flags;        /* PLAN_LOG_REQUEST ... */
  uint64_t fields[2];    /* of the entry, by FROM_REQUEST and FROM_RESPONSE */
  unsigned maps[2];      /* header maps that these are read from, a bit each */
  uint64_t state_fields; /* that state formats need */
  unsigned state_maps;   /* header maps that state formats need */
  rules rules[2];        /* PLAN_REQUEST, PLAN_RESPONSE */
  state_key *states;
  size_t state_count;
  sink **sinks;
  size_t sink_count;
  size_t counters[COUNT_KINDS];
  bool details_from_hook; /* response_code_details: this host has no attribute for it */
};

/* Takes the time at which a stream begins. */
void record_clock(record *r);
/* Reads what `fields` and `maps` name from the host; all but the kind. when: FROM_*. */
void entry_capture(entry *e, const plan *p, const host *h, const record *r, int when,
                   uint64_t fields, unsigned maps);
/* The field of that name; FIELD_COUNT when there is none. */
field_id field_find(slice name);
/* Whether this host can tell the field. */
bool field_is_served(field_id field);
/* The header maps that the fields are read from, a bit each. */
unsigned entry_maps(uint64_t fields);
/* The text of a field for a state format; false: not known. */
bool entry_field_text(const entry *e, field_id field, text *out);

/* Appends the entry as one line of JSON. kind: "request", "denied" or "response". */
void encode_json(entry *e, const plan *p, slice kind, uint64_t fields, text *out);

#endif
