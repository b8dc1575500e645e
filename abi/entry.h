/* SPDX-License-Identifier: Apache-2.0
 *
 * entry.h: what an entry says of a stream, before it has a format.
 *
 * capture.c fills an entry from a host; encode_json.c writes it. Texts and headers are Envoy's own
 * memory, borrowed until the hook ends.
 */
#ifndef PYFILTER_ENTRY_H
#define PYFILTER_ENTRY_H

#include <stdalign.h>
#include <stdatomic.h>

#include "headers.h"
#include "host.h"
#include "plan.h"

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

enum { FIELD_KEY_ROOM = 32, FIELD_SPEC_SIZE = 64 };

typedef struct field_spec {
  /* In JSON: the comma before it, its quotes and colon, a text's first quote. */
  alignas(FIELD_SPEC_SIZE) char key[FIELD_KEY_ROOM];
  slice name;
  uint8_t key_length;
  uint8_t type; /* field_type */
  uint8_t when;
  uint8_t since;
} field_spec;

extern const field_spec FIELDS[FIELD_COUNT];

/* The header maps; the values are those of envoy_dynamic_module_type_http_header_type. */
enum { MAP_REQUEST, MAP_REQUEST_TRAILERS, MAP_RESPONSE, MAP_RESPONSE_TRAILERS, MAP_COUNT };

/* What Python noted of a stream, in order. */
typedef struct note {
  struct note *next;
  int kind; /* NOTE_* */
  slice key;
  slice text; /* for formats */
  slice json; /* for entries */
} note;

typedef union field_value {
  slice text;
  uint64_t number;
} field_value;

enum { LONGEST_FLAGS = 192 };

struct logger_field; /* see logger_fields.h */

/* The log that an access logger was told of. */
typedef struct told_log {
  void *envoy;
  envoy_dynamic_module_type_access_log_type type;
} told_log;

typedef struct entry {
  uint64_t have; /* FIELD_BIT of the fields that are known */
  field_value value[FIELD_COUNT];
  slice asked_path; /* `path`, but whatever x-envoy-original-path a client sent; for packets */
  header_view maps[MAP_COUNT];
  kept_headers kept;
  const note *notes;
  told_log log; /* of an access logger's entry */
  char flags[LONGEST_FLAGS]; /* the text of response_flags */
} entry;

/* A piece of a format. */
typedef struct format_part {
  int op; /* PART_* */
  int map;
  unsigned kept;    /* of a header: the place that keeps its value, KEPT_*; else NOT_KEPT */
  bool hidden;      /* of a header: its value is not to be seen */
  slice text;       /* of metadata: the key */
  slice name_space; /* of metadata */
  atomic_int *last; /* of metadata: see host.h; workers share it */
  slice memory;     /* what text and name_space lie in */
  size_t max_length;
  field_id field;
} format_part;

typedef struct format {
  format_part *parts;
  size_t count;
} format;

/* Where a plan's workers say something once. */
typedef _Atomic bool told;

typedef struct state_key {
  slice key;
  format value;
  told conflict;
} state_key;

struct measures; /* metrics of the user's own, see measure.h */
struct cilium;   /* what packets of cilium.LogEntry hold beside the stream, see encode_cilium.h */

/* A sink, and what it gets: packets, or lines of JSON, which are the same for all. */
typedef struct output {
  sink *to;
  struct cilium *cilium; /* NULL: lines of JSON */
} output;

/* Made while a config loads, read-only after that. */
struct plan {
  slice instance;
  uint32_t flags;        /* PLAN_LOG_REQUEST ... */
  uint64_t fields[2];    /* of a line of JSON, by FROM_REQUEST and FROM_RESPONSE */
  const struct logger_field **logger_fields; /* more of a line of JSON, of an access logger */
  size_t logger_field_count;
  uint64_t captured[2];  /* fields that are read from the host, for any output */
  unsigned maps[2];      /* header maps that these are read from, a bit each */
  uint64_t state_fields; /* that formats of state and of metrics need */
  unsigned state_maps;   /* header maps that they need */
  rules rules[2];        /* PLAN_REQUEST, PLAN_RESPONSE */
  header_table tables[MAP_COUNT];
  unsigned kept;         /* places of KEPT_* that are taken */
  state_key *states;
  size_t state_count;
  struct measures *measures; /* NULL: none */
  output *outputs;
  size_t output_count;
  format *open; /* the one that gets the next part; only while the config loads */
  struct cilium *open_cilium; /* whose it is; NULL: a state key's, or a metric's */
  bool has_json;    /* an output takes lines */
  bool has_packets; /* one takes packets */
  size_t counters[COUNT_KINDS];
  size_t gauges[GAUGE_KINDS]; /* 0: not defined, as there is no sink that has them */
  bool hides_request_id;  /* the field is not to be seen */
  bool details_from_hook; /* response_code_details: this host has no attribute for it */
};

/* The record of a stream that a logger is told of: what Envoy's clock says. */
void record_of_log(record *r, const plan *p, const host *h);
/* The fields that need a clock. */
#define TIMED_FIELDS                                                                               \
  (FIELD_BIT(time_unix_nano) | FIELD_BIT(start_time_unix_nano) | FIELD_BIT(duration_us) |          \
   FIELD_BIT(duration_ms))

/* Reads what `fields` and `maps` name from the host; all but the kind. when: FROM_*. */
void entry_capture(entry *e, const plan *p, const host *h, const record *r, int when,
                   uint64_t fields, unsigned maps);
/* The field of that name; FIELD_COUNT when there is none. */
field_id field_find(slice name);
/* Whether the plan's host can tell the field: an access logger always could. */
bool field_is_served(const plan *p, field_id field);
/* The header maps that the fields are read from, a bit each. */
unsigned entry_maps(uint64_t fields);
/* The text of a field for a format; false: not known. */
bool entry_field_text(const entry *e, field_id field, text *out);

/* Appends the entry as one line of JSON. kind: "request", "denied" or "response". */
void encode_json(entry *e, const plan *p, slice kind, uint64_t fields, text *out);

#endif
