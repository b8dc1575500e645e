/* SPDX-License-Identifier: Apache-2.0
 *
 * statistics.h: what native ext_proc tells of its calls, told of the hooks of a stream.
 *
 * A call is one of the six hooks that the class overrides. It begins with the crossing and ends
 * when the hook returns; one that paused ends when its side goes on, and a body that is buffered is
 * one call, which takes as long as its hooks. Each side has one call at a time, as in ext_proc. Only
 * streams of configs with `statistics` have any of this; stream.c asks for the config's pointer
 * before it calls anything here.
 */
#ifndef PYFILTER_STATISTICS_H
#define PYFILTER_STATISTICS_H

#include <stdatomic.h>

#include "services.h"
#include "text.h"

enum { CALLS = 6, SIDES = 2 }; /* the first six hooks, by number */

/* gRPC's codes, as far as C itself has one to say. */
enum {
  CODE_OK = 0,
  CODE_INVALID_ARGUMENT = 3,
  CODE_RESOURCE_EXHAUSTED = 8,
  CODE_FAILED_PRECONDITION = 9,
  CODE_INTERNAL = 13,
};

/* All finished calls of one hook. */
typedef struct calls {
  uint64_t total_us, max_us;
  uint32_t count;
  uint8_t last_status;
  uint8_t effect;
} calls;

/* The call of a side that has begun and not ended. */
typedef struct open_call {
  uint64_t start_ns;
  uint64_t spent_ns; /* in hooks that only asked for more of the body */
  uint64_t sent;     /* bytes; counted when it ends, as ext_proc does */
  uint8_t hook;
  enum { CLOSED, RUNNING, WAITING, COLLECTING } state;
} open_call;

/* A stream's share. */
typedef struct statistics {
  calls of[CALLS];
  open_call open[SIDES];
  uint64_t sent, received; /* bytes handed to the hooks, and taken from them */
  uint32_t counts[STATISTICS_COUNTERS];
  uint8_t status_before_first_call;
  uint8_t refused;         /* PART_* of the last refused change of this call, and 1 */
  bool started;            /* a call has begun */
  bool finished;           /* a call has ended */
  bool failed_open;        /* a hook failed, and the stream went on */
  bool immediate_response; /* the filter has answered of its own accord */
  bool failed_closed;      /* a hook failed, and the stream was ended for it */
  bool over[SIDES];        /* the filter has answered: it is not asked any more */
  bool completing;         /* no call comes, and no policy is followed */
  bool written;            /* once, whatever Envoy tells us */
} statistics;

typedef struct field_key {
  slice key;
  int field;
} field_key;

/* A config's share. */
struct pyfilter_statistics {
  slice key;              /* of filter state; empty: none */
  slice name_space;       /* of metadata; empty: none */
  slice destination;
  bool tells_destination; /* up to 1.39 ext_proc has none */
  field_key *fields;
  size_t field_count;
  size_t counters[STATISTICS_COUNTERS]; /* their ids */
  size_t conflicts;
  atomic_bool conflict_logged;
};

void statistics_free(pyfilter_statistics *c);

/* A crossing, or a hook that waited: before, and after with what the crossing gave. */
void statistics_begin(pyfilter_stream *s, int hook);
void statistics_end(pyfilter_stream *s, int hook, int crossed);
/* A side goes on: its call ends. */
void statistics_resumed(pyfilter_stream *s, int side);
/* The filter answers. whole: there is nothing to come. */
void statistics_reply(pyfilter_stream *s, bool whole, size_t bytes);
void statistics_reply_goes_on(pyfilter_stream *s, bool whole, size_t bytes);
void statistics_reset(pyfilter_stream *s);
void statistics_hook_failed(pyfilter_stream *s, int code);
/* A change of a header map (0 to 3) or of a body (4: the request's, 5: the response's). */
void statistics_change(pyfilter_stream *s, int part, int effect, size_t bytes);
/* The stream is over: writes all of it. */
void statistics_complete(pyfilter_stream *s);

/* --- statistics_write.c --- */

/* The number of a field by its name, -1: there is none. */
int statistics_field(slice name);
/* False: a key of filter state is somebody else's. */
bool statistics_write(const pyfilter_statistics *c, const statistics *t, void *envoy);

#endif
