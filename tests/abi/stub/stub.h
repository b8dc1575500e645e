/* SPDX-License-Identifier: Apache-2.0
 *
 * stub.h: a host for the shared object that is no Envoy, only as strict and as odd as Envoys are.
 *
 * It opens the module as Envoy does, keeps each stream in memory, calls the hooks that a script
 * names, in any order, and answers the callbacks. What happened goes out as one JSON object on a
 * line. A breach is what no module may do: a callback for a dead stream, on a wrong thread, or
 * outside of a hook. All bytes that the module borrows are exact copies that are freed when the
 * hook ends (or the map changes), so AddressSanitizer sees a late read.
 */
#ifndef STUB_H
#define STUB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "envoy_abi_logger.h"

#define TYPE(name) envoy_dynamic_module_type_##name
#define CALLBACK(name) envoy_dynamic_module_callback_##name
#define HOST_CALLBACK __attribute__((visibility("default"), used))

/* --- memory and text (text.c) --- */

typedef struct bytes {
  char *ptr; /* NULL: the NULL buffer, whose length is 0 */
  size_t length;
} bytes;

void *must(void *memory); /* Memory, or the end of the process. */
bytes bytes_copy(const void *ptr, size_t length);
bytes bytes_of(TYPE(module_buffer) buffer);
bool bytes_equal(bytes a, const void *ptr, size_t length);
void bytes_free(bytes *b);
bytes unescape(const char *token); /* \xHH a byte, \e the empty text, \0 the NULL buffer */

/* --- what happened, as JSON lines (out.c) --- */

typedef struct json {
  char *text;
  size_t length, capacity;
} json;

void out_to(int fd);
json event(const char *kind, const char *name);
void json_text(json *j, const char *key, const char *text);
void json_bytes(json *j, const char *key, const void *ptr, size_t length); /* as latin-1 */
void json_number(json *j, const char *key, double value);
void json_bool(json *j, const char *key, bool value);
void json_open(json *j, const char *key, char bracket);
void json_close(json *j, char bracket);
void json_send(json *j);
void breach(const char *what, const char *where);
void fail(const char *what, const char *detail); /* the script is wrong, not the module */

/* --- streams and configs (stream.c) --- */

enum { REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS, MAPS };
enum { STATE = MAPS, BODY, HOOK }; /* other places that bytes are lent from */
enum { BODIES = 4 };
enum { MAIN_THREAD = -1, OTHER_THREAD = -2 }; /* workers are 0, 1, 2 ... */

typedef struct pair {
  bytes name, value;
} pair;

typedef struct header_map {
  bool present;
  size_t count;
  pair *pairs;
} header_map;

typedef struct attribute {
  struct attribute *next;
  int id;
  char kind; /* s, i, b */
  bytes text;
  uint64_t number;
} attribute;

typedef struct entry { /* filter state (source -1, no namespace) and metadata */
  struct entry *next;
  int source;
  bytes ns, key;
  char kind; /* s, n, b; S, N, B: lists of these; o: an object that has a text */
  size_t count;
  bytes *texts;
  double *numbers;
} entry;

typedef struct lent {
  struct lent *next;
  int place;
  unsigned depth;
  char *ptr;
  size_t length;
} lent;

typedef struct injection { /* a line of the script that runs inside a callback */
  struct injection *next;
  char *callback, *line;
} injection;

typedef struct mailbox { /* outlives the stream: schedulers hold it */
  pthread_mutex_t lock;
  pthread_cond_t filled;
  unsigned holders;
  bool closed;
  size_t count;
  uint64_t ids[64];
} mailbox;

typedef struct logger {
  const void *module;
} logger;

typedef struct config {
  struct config *next;
  bool gone; /* the script cannot name it any more */
  uint32_t magic;
  char *id;
  bool frozen;
  const void *module;
  size_t metrics[6]; /* how many ids are given away, by kind and by having labels */
  struct metric *metric[6][64];
  bool of_logger;
  logger *loggers; /* of the workers, then the main thread's; NULL: a filter's config */
} config;

typedef struct route {
  struct route *next;
  bool gone; /* the script cannot name it any more */
  char *id;
  const void *module;
} route;

typedef struct stream {
  struct stream *next;
  bool gone; /* the script cannot name it any more */
  uint32_t magic;
  char *id;
  int worker;
  unsigned depth;   /* hooks on the stack */
  bool quiet;       /* part of a load: no events, memory goes with the stream */
  bool replied;     /* the module sent a reply */
  bool same_buffer; /* the received body is the buffered one */
  config *config;
  const void *module;
  const void *route;
  header_map maps[MAPS];
  bytes body[BODIES]; /* by http_body_type */
  uint64_t buffer_limit;
  attribute *attributes;
  entry *entries;
  lent *lent;
  injection *injections;
  mailbox *mailbox;
} stream;

extern _Thread_local int here; /* which thread this is */
extern struct settings {
  bool validation, nulls, local_reply_hook;
  int log_level;
  uint32_t concurrency;
  _Atomic int clock_back; /* seconds by which the wall clock was set back */
  _Atomic int monotonic_us; /* what the clock that nobody sets shows to workers; 0: the time */
} settings;

config *config_find(const char *id);
route *route_find(const char *id);
stream *stream_find(const char *id);
stream *stream_make(const char *id, config *c, int worker, const void *for_route);
void stream_kill(stream *s); /* calls destroy */
void stream_enter(stream *s);
void stream_leave(stream *s);
stream *stream_bare(const char *id, int worker); /* one that no filter of the module sees */
config *config_make(const char *id, bytes name, bytes text, bool of_logger);
void config_kill(config *c);
bool config_alive(const config *c);
bool route_make(const char *id, bytes name, bytes text);
void route_kill(route *r);

/* Access loggers (logger.c). */
config *logger_make(const char *id, bytes name, bytes text);
void logger_flush(config *c);
void logger_kill(config *c);
void hook_log(stream *s, config *c, int type);

void map_clear(header_map *m);
void map_add(header_map *m, bytes name, bytes value);
void lend_release(stream *s, int place, unsigned depth);
const char *lend(stream *s, int place, bytes b);
TYPE(envoy_buffer) lend_buffer(stream *s, int place, bytes b);

/* --- the seam (hooks.c, callbacks_*.c) --- */

/* clang-format off */
#define HOOKS(X)                                                                                   \
  X(program_init)                                                                                  \
  X(http_filter_config_new)                                                                        \
  X(http_filter_config_destroy)                                                                    \
  X(http_filter_per_route_config_new)                                                              \
  X(http_filter_per_route_config_destroy)                                                          \
  X(http_filter_new)                                                                               \
  X(http_filter_request_headers)                                                                   \
  X(http_filter_request_body)                                                                      \
  X(http_filter_request_trailers)                                                                  \
  X(http_filter_response_headers)                                                                  \
  X(http_filter_response_body)                                                                     \
  X(http_filter_response_trailers)                                                                 \
  X(http_filter_local_reply)                                                                       \
  X(http_filter_stream_complete)                                                                   \
  X(http_filter_destroy)                                                                           \
  X(http_filter_scheduled)                                                                         \
  X(http_filter_downstream_above_write_buffer_high_watermark)                                      \
  X(http_filter_downstream_below_write_buffer_low_watermark)                                       \
  X(access_logger_config_new)                                                                      \
  X(access_logger_config_destroy)                                                                  \
  X(access_logger_new)                                                                             \
  X(access_logger_log)                                                                             \
  X(access_logger_flush)                                                                           \
  X(access_logger_destroy)
/* clang-format on */

extern struct hooks {
#define X(name) __typeof__(envoy_dynamic_module_on_##name) *name;
  HOOKS(X)
#undef X
} hooks;

void module_open(const char *path);
void module_close(const char *path);
int hook_headers(stream *s, int map, bool end);
int hook_body(stream *s, bool request, bytes data, bool end);
int hook_trailers(stream *s, int map);
int hook_local_reply(stream *s, uint32_t code, bytes details, bool reset_imminent);
void hook_complete(stream *s);
void hook_watermark(stream *s, bool above);
void hook_scheduled(stream *s, uint64_t id);

/* Checks that the module may call this now; false: the callback has to answer false. */
bool may_call(void *envoy, const char *callback);
/* Whether the script told this callback to answer false. */
bool told_to_fail(const char *callback);
void inject(stream *s, const char *callback);

/* --- state that the module writes (state.c, metrics.c) --- */

entry *entry_find(stream *s, int source, bytes ns, bytes key);
entry *entry_put(stream *s, int source, bytes ns, bytes key, char kind);
void entry_add(entry *e, bytes text, double number);
void entries_free(stream *s);
void attribute_put(stream *s, int id, char kind, bytes text, uint64_t number);
void state_print(stream *s);
void metrics_print(void);
TYPE(metrics_result)
config_increment(void *envoy, size_t id, TYPE(module_buffer) * labels, size_t count,
                 uint64_t number);

/* --- the script (script.c, threads.c, load.c) --- */

void execute(const char *line); /* on this thread */
void threads_start(unsigned workers);
void threads_run(int thread, void (*job)(void *), void *argument); /* waits until it is done */
void threads_begin(int thread, void (*job)(void *), void *argument);
void threads_join(void);
void load_begin(config *c, unsigned streams, uint64_t seed);
void load_print(void);
extern atomic_int live_schedulers;

#endif
