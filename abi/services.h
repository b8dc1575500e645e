/* SPDX-License-Identifier: Apache-2.0
 *
 * services.h: every call from Python into our own C, and nothing else.
 *
 * The other direction is crossing.h; Envoy's own callbacks are in envoy_abi.h. cffi and the C
 * compiler read the same text (build_ffi.py drops the preprocessor lines). Strings are borrowed
 * for the time of the call, and copied where C keeps them.
 */
#ifndef PYFILTER_SERVICES_H
#define PYFILTER_SERVICES_H

#include "envoy_abi.h"

typedef struct plan plan;                       /* what the record lane does for each stream */
typedef struct sink sink;                       /* where records go */
typedef struct pyfilter_stream pyfilter_stream; /* one HTTP stream, see stream.h */
typedef struct pyfilter_seat pyfilter_seat;     /* where Python knows a stream, see seat.h */
typedef struct pyfilter_reads pyfilter_reads;   /* what hooks read, see reads.h */
typedef struct pyfilter_statistics pyfilter_statistics; /* see statistics.h */

/* One filter config, as Envoy holds it. Python fills number, wants and plan while it loads. */
typedef struct pyfilter_config {
  void *envoy;        /* Envoy's side, valid while the config loads and in config-level callbacks */
  uint32_t number;    /* by which Python knows the loaded filter */
  uint32_t wants;     /* WANT_* bits: the hooks that the user's class overrides */
  plan *plan;         /* NULL: this config records nothing */
  pyfilter_reads *reads; /* what comes with the crossings of its hooks */
  size_t hook_errors; /* id of the counter of failed hooks, 0: none */
  bool allow_on_error; /* on_error: allow; else deny */
  uint32_t records;    /* RECORDS_* bits: what the plan does beside the end; C's own */
  pyfilter_statistics *statistics; /* NULL: none are kept */
} pyfilter_config;

enum {
  WANT_REQUEST_HEADERS = 1,
  WANT_REQUEST_BODY = 2,
  WANT_REQUEST_TRAILERS = 4,
  WANT_RESPONSE_HEADERS = 8,
  WANT_RESPONSE_BODY = 16,
  WANT_RESPONSE_TRAILERS = 32,
  WANT_LOCAL_REPLY = 64,
  WANT_STREAM_COMPLETE = 128,
  WANT_ABOVE_WATERMARK = 256,
  WANT_BELOW_WATERMARK = 512,
  WANT_STATISTICS = 1024, /* no hook: streams of this config are never nobody's */
};

/* The same hooks by number. */
enum {
  HOOK_REQUEST_HEADERS = 0,
  HOOK_REQUEST_BODY = 1,
  HOOK_REQUEST_TRAILERS = 2,
  HOOK_RESPONSE_HEADERS = 3,
  HOOK_RESPONSE_BODY = 4,
  HOOK_RESPONSE_TRAILERS = 5,
  HOOK_LOCAL_REPLY = 6,
  HOOK_STREAM_COMPLETE = 7,
  HOOK_ABOVE_WATERMARK = 8,
  HOOK_BELOW_WATERMARK = 9,
  HOOKS = 10,
};

/* In what a hook's crossing gives, beside Envoy's status: the side is held until a resume. */
enum { PAUSED = 8 };

/* Minor version of the newest release that the host is like: 38 for Envoy 1.38. */
int pyfilter_host_release(void);

/* --- seats: Python asks for a stream by its seat and the serial number that it took it with --- */

enum { SEAT_AREA = 16384 }; /* bytes that a worker hands over at once */

pyfilter_seat *pyfilter_seat_at(uint32_t number);
/* Where what comes with a crossing lies, until the next call of that worker into C. */
char *pyfilter_seat_area(pyfilter_seat *seat);
/* Whether Envoy's side of that stream is gone; any thread. */
bool pyfilter_seat_gone(pyfilter_seat *seat, uint64_t serial);
/* Envoy's side of that stream; NULL when it is gone, or on another thread. */
void *pyfilter_seat_envoy(pyfilter_seat *seat, uint64_t serial);
/* The stream itself, while a hook of it is on the stack or Envoy's side is there. */
pyfilter_stream *pyfilter_seat_stream(pyfilter_seat *seat);

/* --- what comes with a crossing (reads.h) --- */

enum {
  READ_HEADER = 0, /* and the number of the map */
  READ_TEXT = 4,   /* attributes, by type */
  READ_INTEGER = 5,
  READ_FLAG = 6,
};
/* From its next stream on the hook gets this header, or attribute, with its crossing. Returns its
 * place in what is handed over, -1 when no more is taken. */
int pyfilter_reads_add(pyfilter_reads *all, int hook, int source, int attribute, const char *name,
                       size_t length);
/* Writes all names and values of a map into the area, a line feed between two, and returns the
 * length; -1: it has to be asked for otherwise; -2: pyfilter_seat_envoy gives NULL. */
int64_t pyfilter_headers_run(pyfilter_seat *seat, uint64_t serial, int map);
/* The same of the bytes of a body. */
int64_t pyfilter_body_run(pyfilter_seat *seat, uint64_t serial, int which);
/* Writes filter state: 1; 0: the key has a value, or Envoy refuses; -1: pyfilter_seat_envoy gives NULL. */
int pyfilter_state_set(pyfilter_seat *seat, uint64_t serial, const char *key, size_t key_length,
                       const char *value, size_t value_length);

/* --- what a hook changes --- */

/* Replaces all values of a header, or adds one; no value: removes it. 1; 0: the stream has no such
 * map, or Envoy refuses; -1: pyfilter_seat_envoy gives NULL. */
int pyfilter_header_set(pyfilter_seat *seat, uint64_t serial, int map, const char *name,
                        size_t name_length, const char *value, size_t value_length);
int pyfilter_header_add(pyfilter_seat *seat, uint64_t serial, int map, const char *name,
                        size_t name_length, const char *value, size_t value_length);
/* The same of bodies: takes bytes from the front, or adds them at the end. */
int pyfilter_body_drain(pyfilter_seat *seat, uint64_t serial, int kind, size_t size);
int pyfilter_body_append(pyfilter_seat *seat, uint64_t serial, int kind, const char *data,
                         size_t length);

/* What is changed: a header map, by Envoy's number, or a body; and what came of it. */
enum { PART_REQUEST_BODY = 4, PART_RESPONSE_BODY = 5 };
enum {
  EFFECT_APPLIED = 1,
  EFFECT_REJECTED = 2,  /* before Envoy was asked */
  EFFECT_TOO_LARGE = 3, /* the stream is reset for it */
  EFFECT_FAILED = 4,    /* Envoy refused */
};
/* A change that Envoy was not asked for. */
void pyfilter_change_refused(pyfilter_seat *seat, uint64_t serial, int part, int effect);

/* --- statistics as ext_proc's: told while a config loads --- */

enum {
  STATISTICS_STREAMS_STARTED = 0,
  STATISTICS_STREAM_MSGS_SENT = 1,
  STATISTICS_STREAM_MSGS_RECEIVED = 2,
  STATISTICS_SPURIOUS_MSGS_RECEIVED = 3,
  STATISTICS_STREAMS_CLOSED = 4,
  STATISTICS_STREAMS_FAILED = 5,
  STATISTICS_FAILURE_MODE_ALLOWED = 6,
  STATISTICS_REJECTED_HEADER_MUTATIONS = 7,
  STATISTICS_IMMEDIATE_RESPONSES_SENT = 8,
  STATISTICS_COUNTERS = 9,  /* that can count in process; the others are defined, and stay 0 */
  STATISTICS_CONFLICTS = 9, /* ours: keys of filter state that were taken */
};

/* Empty: no filter state, no metadata. destination: what is asked, by name. */
pyfilter_statistics *pyfilter_statistics_new(const char *key, size_t key_length,
                                             const char *name_space, size_t name_space_length,
                                             const char *destination, size_t destination_length);
/* A field gets a filter-state key of its own; false: there is no such field. */
bool pyfilter_statistics_field(pyfilter_statistics *c, const char *name, const char *key,
                               size_t key_length);
/* Tells the id of a counter that Python defined with Envoy: STATISTICS_*. */
void pyfilter_statistics_counter(pyfilter_statistics *c, int which, size_t id);

/* --- the plan: made while a config loads, never changed after that --- */

enum {
  PLAN_LOG_REQUEST = 1,
  PLAN_AT_END_OF_STREAM = 2,
  PLAN_TRAILERS = 4,
  PLAN_ABORTED = 8,              /* a response's entry where the client got no response */
  PLAN_REDIRECTED = 16,          /* one for a stream of which Envoy made another one */
  PLAN_TUNNEL_AT_HANDSHAKE = 32, /* a tunnel's is written as it begins */
  PLAN_COMPAT_CILIUM = 64,       /* entries as Cilium's own filter has them */
  PLAN_OF_LOGGER = 128,          /* its host is an access logger */
  PLAN_STATE_METADATA = 256,     /* what is written as filter state is dynamic metadata, too */
};
enum { PLAN_REQUEST = 0, PLAN_RESPONSE = 1 };              /* whose header rules */
enum { PLAN_INCLUDE = 0, PLAN_EXCLUDE = 1, PLAN_REDACT = 2 };
enum {
  PART_LITERAL = 0,
  PART_HEADER = 1,
  PART_FIELD = 2,
  PART_NOTE = 3,
  PART_FILTER_STATE = 4,
  PART_METADATA = 5, /* text: namespace:key */
};
enum {
  COUNT_ENTRIES_REQUEST = 0,
  COUNT_ENTRIES_DENIED = 1,
  COUNT_ENTRIES_RESPONSE = 2,
  COUNT_DROPPED_RING_FULL = 3,
  COUNT_DROPPED_TOO_LARGE = 4,
  COUNT_DROPPED_SINK = 5,
  COUNT_SINK_ERRORS = 6,
  COUNT_STATE_CONFLICTS = 7,
  COUNT_DROPPED_NOTES = 8,
  COUNT_DROPPED_QUEUE_FULL = 9,
  COUNT_CILIUM_SENT = 10,
  COUNT_CILIUM_RECONNECTS = 11,
  COUNT_CILIUM_TRIMMED = 12,
  COUNT_CILIUM_BAD_VALUES = 13,
  COUNT_ENTRIES_PROGRESS = 14,
  COUNT_METRICS_SKIPPED = 15,
  COUNT_METRICS_OVERFLOW = 16,
  COUNT_KINDS = 17,
};
/* What the sinks of a plan say of themselves, as sums over them. */
enum { GAUGE_CILIUM_CONNECTED = 0, GAUGE_CILIUM_QUEUE_DEPTH = 1, GAUGE_KINDS = 2 };

plan *pyfilter_plan_new(const char *instance, size_t length, uint32_t flags);
/* Adds a field of the entry by its name; false when there is no such field. One that this host
 * cannot tell is taken, and left out of the entries. */
bool pyfilter_plan_field(plan *p, const char *name);
/* Adds a lower-case header name or an fnmatch(3) glob to one side's list. */
void pyfilter_plan_pattern(plan *p, int side, int rule, const char *pattern);
/* Starts a filter-state key; the parts that follow make up its value. */
void pyfilter_plan_state(plan *p, const char *key, size_t length);
/* Adds a part to the format started last. max_length 0: no limit. false: no such field, or one that
 * is no single value. Besides the entry's fields there is duration_ms. */
bool pyfilter_plan_part(plan *p, int op, int map, const char *text, size_t length,
                        size_t max_length);
/* What Envoy does with a metric's number. */
enum { METRIC_COUNTER = 0, METRIC_GAUGE = 1, METRIC_HISTOGRAM = 2 };
enum { METRIC_LABELS = 8 };
/* Adds a metric that Python defined with Envoy under this id. At most so many values of each label,
 * and so many combinations of them, are told apart. name: for the log. */
void pyfilter_plan_metric(plan *p, int kind, size_t id, const char *name, size_t length,
                          size_t most_values, size_t most_series);
/* Adds a label to the metric added last, in the order in which Envoy knows them; false: it has
 * METRIC_LABELS already. */
bool pyfilter_plan_metric_label(plan *p, const char *name, size_t length);
/* Starts a measure of the metric added last; the parts that follow make up its number, none: 1. */
void pyfilter_plan_measure(plan *p);
/* Starts the value of the measure's next label, of which each has to have one. */
void pyfilter_plan_measure_label(plan *p);
/* Hands over one reference to a sink that gets lines of JSON. */
void pyfilter_plan_sink(plan *p, sink *s);
/* The same for a sink that gets packets of cilium.LogEntry, none over max_packet bytes. Of the plans
 * that share its queue, the newest one says how many entries and bytes of packets may wait. */
void pyfilter_plan_cilium(plan *p, sink *s, size_t max_packet, size_t queue_entries,
                          size_t queue_bytes, bool drop_oldest);

/* What the stream does not tell of the packets of the Cilium sink handed over last. */
enum {
  CILIUM_POLICY_NAME = 0,
  CILIUM_RULE_REF = 1,
  CILIUM_SOURCE_ID = 2,
  CILIUM_IS_INGRESS = 3,
  CILIUM_DESTINATION_ID = 4,
  CILIUM_PROXY_ID = 5,
  CILIUM_VALUES = 6,
};
/* Starts one of these; the parts that follow make up its text. Without parts it is empty, or 0. */
void pyfilter_plan_cilium_value(plan *p, int which);
/* All its parts are there. */
void pyfilter_plan_cilium_value_end(plan *p, int which);
/* Tells the id of a counter that Python defined with Envoy: COUNT_*. */
void pyfilter_plan_counter(plan *p, int which, size_t id);
/* The same for a gauge: GAUGE_*. */
void pyfilter_plan_gauge(plan *p, int which, size_t id);
/* All of it is told: the plan can be carried out. */
void pyfilter_plan_done(plan *p);
/* Lets go of a plan whose config was refused; for C itself. */
void pyfilter_plan_free(plan *p);

/* --- sinks --- */

/* The sink for this path, made when it is the first to ask. ring_bytes: of each worker's ring. */
sink *pyfilter_sink_file(const char *path, size_t ring_bytes);
/* The sink for the agent's UNIX socket (SEQPACKET); '@' begins an abstract name. It takes packets. What
 * the agent does not take yet waits in a queue of the socket. NULL: the path is empty, or longer than
 * 107 bytes. */
sink *pyfilter_sink_agent(const char *path, size_t ring_bytes);
/* A sink that a Python thread empties with pyfilter_sink_take. Outside validation mode it ends when
 * its plan has let go and the thread has said pyfilter_sink_done. name: for the log, copied. */
sink *pyfilter_sink_python(const char *name, size_t ring_bytes);
/* Waits up to timeout_ms (-1: for ever) for entries and copies whole lines (each ends in \n) into the buffer.
 * Returns the bytes copied, 0 after a time-out, -1 when the sink is closed and empty. */
int64_t pyfilter_sink_take(sink *s, char *buffer, size_t capacity, int timeout_ms);
/* Counts entries that the Python sink failed to take, and one error. */
void pyfilter_sink_failed(sink *s, uint64_t entries);
/* The Python thread's last call: the sink may be freed. */
void pyfilter_sink_done(sink *s);

/* --- what a Python hook says of its stream --- */

enum { NOTE_NOTE = 0, NOTE_REJECT = 1, NOTE_MISSING = 2 };
/* text: for formats and packets; json: the value as JSON text, for entries. A stream keeps 256 notes; more
 * are dropped and counted. */
void pyfilter_record_note(pyfilter_stream *s, int kind, const char *key, size_t key_length,
                          const char *text, size_t text_length, const char *json,
                          size_t json_length);
/* Sends a local reply. The denied entry is written first: destroy can run inside the reply. */
void pyfilter_reply(pyfilter_stream *s, uint32_t status,
                    envoy_dynamic_module_type_module_http_header *headers, size_t headers_length,
                    envoy_dynamic_module_type_module_buffer body,
                    envoy_dynamic_module_type_module_buffer details);
/* Starts a reply in pieces: as pyfilter_reply, then data and trailers by Envoy's callbacks. */
void pyfilter_reply_headers(pyfilter_stream *s,
                            envoy_dynamic_module_type_module_http_header *headers,
                            size_t headers_length, bool end_of_stream);
/* Goes on with it. */
void pyfilter_reply_data(pyfilter_stream *s, envoy_dynamic_module_type_module_buffer data,
                         bool end_of_stream);
void pyfilter_reply_trailers(pyfilter_stream *s,
                             envoy_dynamic_module_type_module_http_header *trailers, size_t count);
void pyfilter_reset(pyfilter_stream *s,
                    envoy_dynamic_module_type_http_filter_stream_reset_reason reason,
                    envoy_dynamic_module_type_module_buffer details);
/* A paused request goes on: the request entry that waited is written. */
void pyfilter_resume_request(pyfilter_stream *s);
/* A paused response goes on. */
void pyfilter_resume_response(pyfilter_stream *s);
/* Python runs hooks that waited, from wherever: in between they count as one that is on the stack, so
 * the stream is there until the last of them is left. Both on its worker. */
void pyfilter_waiting_entered(pyfilter_stream *s, bool response);
void pyfilter_waiting_left(pyfilter_stream *s);
/* One of them, by number, and what it gave: a status of crossing.h. */
void pyfilter_late_begins(pyfilter_stream *s, int hook);
void pyfilter_late_ends(pyfilter_stream *s, int hook, int crossed);
/* Whether a response's headers went past us, so that a reply in pieces would be a second one. */
bool pyfilter_response_begun(pyfilter_stream *s);
/* Counts a hook that raised and keeps its name for the record: the text lives as long as the process.
 * code: of gRPC, for statistics. Called inside a hook of the stream; its host may be gone already. */
void pyfilter_hook_failed(pyfilter_stream *s, const char *hook, int code);

#endif
