/* SPDX-License-Identifier: Apache-2.0
 *
 * headers.h: what is done with each header of a map, in a table that is made while the config loads.
 *
 * One look at a name serves fields, formats, rules and packets together: which place keeps its first
 * value, whether entries list it, and how its key is written.
 */
#ifndef PYFILTER_HEADERS_H
#define PYFILTER_HEADERS_H

#include "envoy_abi.h"
#include "rules.h"

/* Where first values are kept. The places of formats come after these. */
enum {
  KEPT_METHOD,
  KEPT_SCHEME,
  KEPT_AUTHORITY,
  KEPT_PATH,
  KEPT_REQUEST_ID,
  KEPT_ORIGINAL_PATH,
  KEPT_FORWARDED_PROTO,
  KEPT_STATUS,
  KEPT_GRPC_STATUS,
  KEPT_GRPC_STATUS_IN_TRAILERS,
  KEPT_FIXED,
  KEPT_FEW = 16, /* few plans have more */
  KEPT_MOST = 64,
  NOT_KEPT = KEPT_MOST /* a place that nobody reads */
};

/* What is done with a header: a set of these. */
enum {
  USE_MEMBER = 1, /* it is a member of its map's object in JSON */
  USE_PACKED = 2, /* packets list it */
  USE_LISTED = 4, /* one of these, or packets look at it */
  USE_HIDDEN = 8, /* its value is not to be seen */
  USE_OTHER = 16, /* the table lacks its name, and that is not the end of it */
};

/* A name's first and last eight bytes, which may overlap; of a name of up to sixteen bytes that is
 * all. A shorter one has fewer. */
typedef struct name_ends {
  uint64_t first;
  uint64_t last;
} name_ends;

/* No name: a free place of the table; that is how most searches for another name end. */
typedef struct header_use {
  name_ends ends;
  slice name;
  slice key;      /* as a JSON key: its quotes, its colon and the value's first quote */
  uint64_t bit;   /* tells its name from most others of the map */
  uint8_t use;    /* USE_* */
  uint8_t kept;   /* KEPT_* */
} header_use;

typedef struct header_table {
  uint64_t serial;  /* no other table of the process had it */
  header_use *uses; /* open addressing */
  unsigned shift;   /* of a hash, to its place */
  size_t mask;
  size_t names;
  const rules *rules;
  bool lines;   /* there are lines of JSON */
  bool packets; /* there are packets */
  unsigned others; /* USE_* of names that are not here, globs aside */
} header_table;

typedef envoy_dynamic_module_type_envoy_http_header http_header;

/* A header that is listed. */
typedef struct listed_header {
  const header_use *use;
  const http_header *header;
} listed_header;

/* One header map as it stood when it was read, and what of it is listed. */
typedef struct header_view {
  const http_header *headers;
  size_t count;
  const listed_header *listed;
  size_t listed_count;
  size_t listed_bytes; /* of their names and values */
  bool repeated;       /* a listed name may come more than once */
} header_view;

/* A worker's room for one map. Most maps of a plan have the same names at the same places, so what was
 * found for a place last time is tried first. */
typedef struct header_room {
  http_header *headers;
  listed_header *listed;
  const header_use **guesses;
  size_t capacity; /* of each of the three */
  uint64_t serial; /* of the table that the guesses are from */
} header_room;

/* The first header of each name by KEPT_*; NULL: there is none. */
typedef struct kept_headers {
  const http_header *at[KEPT_MOST + 1];
} kept_headers;

static inline slice header_name(const http_header *h) {
  return (slice){h->key_ptr, h->key_length};
}

static inline slice header_value(const http_header *h) {
  return (slice){h->value_ptr, h->value_length};
}

/* The kept value; no data when the map has no such header. */
static inline slice header_kept(const kept_headers *kept, unsigned place) {
  const http_header *h = kept->at[place];
  return h != NULL ? header_value(h) : (slice){NULL, 0};
}

/* While the config loads: makes a table of the names that the rules spell out. */
void headers_compile(header_table *t, const rules *r, bool lines, bool packets);
void headers_free(header_table *t);
/* Has the name's first value kept. Returns where: at `place`, or where it is kept already. */
unsigned headers_keep(header_table *t, slice name, unsigned place);
/* Whatever the rules say, packets look at this name; or they do not list it. */
void headers_look_at(header_table *t, slice name);
void headers_leave_out(header_table *t, slice name);

/* After all of that. */
void headers_compiled(header_table *t);

void header_room_grow(header_room *room, size_t count);
void header_room_free(header_room *room);

/* Has room for so many headers of a map. */
static inline void header_room_for(header_room *room, size_t count) {
  if (room->capacity < count) {
    header_room_grow(room, count);
  }
}

/* Goes through a map of `count` headers, which were read into the room. */
void headers_look(const header_table *t, header_room *room, size_t count, header_view *view,
                  kept_headers *kept);

#endif
