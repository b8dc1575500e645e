/* SPDX-License-Identifier: Apache-2.0
 *
 * cilium_trim.c: makes a packet fit. Of missing and rejected headers, then counts of tokens, then
 * headers those stay that fit, looked at from the first to the last. Where none of them is left, the
 * host and the path are cut, then the method and the scheme. The request's id stays: it joins the
 * entries of a stream. A header that says how many pieces were left out or cut is added.
 */
#include "encode_cilium.h"

#include "protobuf.h"
#include "worker.h"

enum {
  MARKER_ROOM = 40,  /* of the header that is added */
  LONGEST_ID = 128,  /* a longer request id is an ordinary header */
  LONGEST_COUNT = 32 /* so is a token that is no count */
};

typedef enum { RANK_HEADER, RANK_COUNT, RANK_NOTE, RANK_ID, RANK_TEXT, RANK_NUMBER } piece_rank;

/* One field of HttpLogEntry in the packet. */
typedef struct piece {
  slice whole;   /* with its tag */
  slice payload; /* of a text or a pair */
  unsigned field;
  piece_rank rank;
  bool dropped;
} piece;

/* What is left of a piece of bytes that was written by encode_cilium.c, and is sound. */
typedef struct reader {
  const char *at;
  const char *end;
} reader;

static uint64_t read_varint(reader *r) {
  uint64_t value = 0;
  for (unsigned shift = 0; r->at < r->end; shift += 7) {
    unsigned char byte = (unsigned char)*r->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) {
      break;
    }
  }
  return value;
}

static slice read_bytes(reader *r) {
  size_t length = read_varint(r);
  slice bytes = {r->at, length};
  r->at += length;
  return bytes;
}

static void read_pair(slice payload, slice *key, slice *value) {
  reader r = {payload.data, payload.data + payload.length};
  *key = *value = (slice){NULL, 0};
  while (r.at < r.end) {
    slice *found = read_varint(&r) >> 3 == PAIR_KEY ? key : value;
    *found = read_bytes(&r);
  }
}

static piece_rank rank_of(const piece *p, bool *id_seen) {
  slice key;
  slice value;
  if (p->field != HTTP_HEADERS) {
    return p->field > HTTP_HEADERS ? RANK_NOTE : RANK_TEXT;
  }
  read_pair(p->payload, &key, &value);
  if (!*id_seen && value.length <= LONGEST_ID && slice_is(key, SLICE("x-request-id"))) {
    *id_seen = true;
    return RANK_ID;
  }
  bool is_count = value.length <= LONGEST_COUNT && memmem(key.data, key.length, "token", 5) != NULL;
  return is_count ? RANK_COUNT : RANK_HEADER;
}

/* Takes the message apart. The pieces lie in the worker's memory. */
static piece *read_pieces(slice http, size_t *count) {
  text *memory = &worker_self()->pieces;
  reader r = {http.data, http.data + http.length};
  bool id_seen = false;
  memory->length = 0;
  for (*count = 0; r.at < r.end; ++*count) {
    const char *start = r.at;
    uint64_t tag = read_varint(&r);
    piece p = {.field = (unsigned)(tag >> 3), .rank = RANK_NUMBER, .dropped = false};
    if ((tag & 7) == WIRE_LENGTH) {
      p.payload = read_bytes(&r);
      p.rank = rank_of(&p, &id_seen);
    } else {
      read_varint(&r);
    }
    p.whole = (slice){start, (size_t)(r.at - start)};
    text_put(memory, (slice){(const char *)&p, sizeof p});
  }
  return (piece *)(void *)memory->data;
}

static size_t less(size_t a, size_t b) { return a > b ? a - b : 0; }

/* What may be left out, with what goes last at first. */
static const piece_rank RANKS[] = {RANK_NOTE, RANK_COUNT, RANK_HEADER};
enum { RANKS_COUNT = sizeof RANKS / sizeof RANKS[0] };

/* Bytes of all that may be left out. */
static size_t spare(const piece *pieces, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    for (size_t rank = 0; rank < RANKS_COUNT; rank++) {
      bytes += pieces[i].rank == RANKS[rank] ? pieces[i].whole.length : 0;
    }
  }
  return bytes;
}

/* Drops what does not fit into the room. A large piece does not take the small ones behind it. */
static void drop(piece *pieces, size_t count, size_t room) {
  for (size_t rank = 0; rank < RANKS_COUNT; rank++) {
    for (size_t i = 0; i < count; i++) {
      piece *p = &pieces[i];
      if (p->rank == RANKS[rank]) {
        p->dropped = p->whole.length > room;
        room -= p->dropped ? 0 : p->whole.length;
      }
    }
  }
}

/* NULL: the text is empty. */
static piece *find(piece *pieces, size_t count, unsigned field) {
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].field == field) {
      return &pieces[i];
    }
  }
  return NULL;
}

static size_t length(const piece *p) { return p == NULL ? 0 : p->payload.length; }

/* Cuts a text to so many bytes or a few less, at the beginning of a character. Returns what of `over`
 * is still to be cut. */
static size_t cut(piece *p, size_t left, size_t over) {
  if (length(p) <= left) {
    return over;
  }
  left = utf8_cut(p->payload, left);
  size_t freed = p->payload.length - left;
  p->payload.length = left;
  p->dropped = true;
  return less(over, freed);
}

/* Cuts `over` bytes of the texts. Of host and path the longer one goes first, until both are as long:
 * an entry without any path is of little use. */
static void cut_texts(piece *pieces, size_t count, size_t over) {
  piece *authority = find(pieces, count, HTTP_HOST);
  piece *path = find(pieces, count, HTTP_PATH);
  piece *shorter = length(path) < length(authority) ? path : authority;
  piece *longer = shorter == path ? authority : path;
  size_t left = less(length(shorter) + length(longer), over);
  size_t half = length(shorter) < left / 2 ? length(shorter) : left / 2;
  over = cut(shorter, half, over);
  over = cut(longer, left - half, over);
  piece *method = find(pieces, count, HTTP_METHOD);
  over = cut(method, less(length(method), over), over);
  piece *scheme = find(pieces, count, HTTP_SCHEME);
  cut(scheme, less(length(scheme), over), over);
}

static void put_marker(text *out, size_t trimmed) {
  text *value = &worker_self()->value;
  value->length = 0;
  text_number(value, trimmed);
  cilium_put_pair(out, HTTP_HEADERS, SLICE("x-envoy-pyfilter-trimmed"),
                  (slice){value->data, value->length});
}

/* Appends what is left, with the marker behind the last header. */
static void put_pieces(const piece *pieces, size_t count, text *out) {
  size_t trimmed = 0;
  for (size_t i = 0; i < count; i++) {
    trimmed += pieces[i].dropped;
  }
  bool marked = false;
  for (size_t i = 0; i < count; i++) {
    const piece *p = &pieces[i];
    if (!marked && p->field > HTTP_HEADERS) {
      put_marker(out, trimmed);
      marked = true;
    }
    if (!p->dropped) {
      text_put(out, p->whole);
    } else if (p->rank == RANK_TEXT) {
      proto_text(out, p->field, p->payload);
    }
  }
  if (!marked) {
    put_marker(out, trimmed);
  }
}

void cilium_trim(slice packet, size_t http, size_t max, text *out) {
  reader r = {packet.data + http, packet.data + packet.length};
  read_varint(&r); /* the tag */
  slice body = read_bytes(&r);
  size_t count;
  piece *pieces = read_pieces(body, &count);
  size_t least = packet.length + MARKER_ROOM - spare(pieces, count);
  drop(pieces, count, less(max, least));
  cut_texts(pieces, count, less(least, max));
  out->length = 0;
  text_put(out, (slice){packet.data, http});
  size_t begin = proto_begin(out, LOG_HTTP, max);
  put_pieces(pieces, count, out);
  proto_end(out, begin, max);
}
