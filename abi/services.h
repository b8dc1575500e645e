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

/* One filter config, as Envoy holds it. Python fills python, wants and plan while it loads. */
typedef struct pyfilter_config {
  void *envoy;        /* Envoy's side, valid while the config loads and in config-level callbacks */
  void *python;       /* handle of the loaded filter */
  uint32_t wants;     /* WANT_* bits: the hooks that the user's class overrides */
  plan *plan;         /* NULL: this config records nothing */
  size_t hook_errors; /* id of the counter of failed hooks, 0: none */
  bool allow_on_error; /* on_error: allow; else deny */
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
};

/* Minor version of the newest release that the host is like: 38 for Envoy 1.38. */
int pyfilter_host_release(void);

/* --- the plan: made while a config loads, never changed after that --- */

enum { PLAN_LOG_REQUEST = 1, PLAN_AT_END_OF_STREAM = 2, PLAN_TRAILERS = 4 };
enum { PLAN_REQUEST = 0, PLAN_RESPONSE = 1 };              /* whose header rules */
enum { PLAN_INCLUDE = 0, PLAN_EXCLUDE = 1, PLAN_REDACT = 2 };
enum { PART_LITERAL = 0, PART_HEADER = 1, PART_FIELD = 2, PART_NOTE = 3 };
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
  COUNT_KINDS = 9,
};

plan *pyfilter_plan_new(const char *instance, size_t length, uint32_t flags);
/* Adds a field of the entry by its name; false when there is no such field. One that this host
 * cannot tell is taken, and left out of the entries. */
bool pyfilter_plan_field(plan *p, const char *name);
/* Adds a lower-case header name or an fnmatch(3) glob to one side's list. */
void pyfilter_plan_pattern(plan *p, int side, int rule, const char *pattern);
/* Starts a filter-state key; the parts that follow make up its value. */
void pyfilter_plan_state(plan *p, const char *key, size_t length);
/* Adds a part to the key started last. max_length 0: no limit. false: no such field, or one that is
 * no single value. Besides the entry's fields there is duration_ms. */
bool pyfilter_plan_state_part(plan *p, int op, int map, const char *text, size_t length,
                              size_t max_length);
/* Hands over one reference to the sink. */
void pyfilter_plan_sink(plan *p, sink *s);
/* Tells the id of a counter that Python defined with Envoy: COUNT_*. */
void pyfilter_plan_counter(plan *p, int which, size_t id);
/* Lets go of a plan whose config was refused; for C itself. */
void pyfilter_plan_free(plan *p);

/* --- sinks --- */

/* The sink for this path, made when it is the first to ask. ring_bytes: of each worker's ring. */
sink *pyfilter_sink_file(const char *path, size_t ring_bytes);
/* A sink that a Python thread empties with pyfilter_sink_take. Outside validation mode it ends when
 * its plan has let go and the thread has said pyfilter_sink_done. */
sink *pyfilter_sink_python(size_t ring_bytes);
/* Waits up to timeout_ms (-1: for ever) for entries and copies whole lines (each ends in \n) into the buffer.
 * Returns the bytes copied, 0 after a time-out, -1 when the sink is closed and empty. */
int64_t pyfilter_sink_take(sink *s, char *buffer, size_t capacity, int timeout_ms);
/* Counts entries that the Python sink failed to take, and one error. */
void pyfilter_sink_failed(sink *s, uint64_t entries);
/* The Python thread's last call: the sink may be freed. */
void pyfilter_sink_done(sink *s);

/* --- what a Python hook says of its stream --- */

enum { NOTE_NOTE = 0, NOTE_REJECT = 1, NOTE_MISSING = 2 };
/* text: for state formats; json: the value as JSON text, for entries. A stream keeps 256 notes; more
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
/* A paused request goes on: the request entry that waited is written. */
void pyfilter_resume_request(pyfilter_stream *s);
/* A paused response goes on. */
void pyfilter_resume_response(pyfilter_stream *s);
/* Whether a response's headers went past us, so that a reply in pieces would be a second one. */
bool pyfilter_response_begun(pyfilter_stream *s);
/* Counts a hook that raised and keeps its name for the record: the text lives as long as the process.
 * Called inside a hook of the stream, whose host may be gone already. */
void pyfilter_hook_failed(pyfilter_stream *s, const char *hook);

#endif
