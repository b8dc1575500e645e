/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_cilium.h: an entry as a packet of cilium.LogEntry (plugin/envoy_pyfilter/cilium.proto).
 */
#ifndef PYFILTER_ENCODE_CILIUM_H
#define PYFILTER_ENCODE_CILIUM_H

#include "entry.h"
#include "queue_limits.h"

/* Field numbers of cilium.LogEntry, HttpLogEntry and KeyValue. */
enum {
  LOG_TIMESTAMP = 1,
  LOG_ENTRY_TYPE = 3,
  LOG_POLICY_NAME = 4,
  LOG_RULE_REF = 5,
  LOG_SOURCE_ID = 6,
  LOG_SOURCE_ADDRESS = 7,
  LOG_DESTINATION_ADDRESS = 8,
  LOG_IS_INGRESS = 15,
  LOG_DESTINATION_ID = 16,
  LOG_PROXY_ID = 17,
  LOG_HTTP = 100,
};
enum {
  HTTP_PROTOCOL = 1,
  HTTP_SCHEME = 2,
  HTTP_HOST = 3,
  HTTP_PATH = 4,
  HTTP_METHOD = 5,
  HTTP_HEADERS = 6,
  HTTP_STATUS = 7,
  HTTP_MISSING = 8,
  HTTP_REJECTED = 9,
};
enum { PAIR_KEY = 1, PAIR_VALUE = 2 };

/* Bytes of a policy name or a rule's reference that a stream tells; LONGEST_TEXT in Python. */
enum { CILIUM_TEXT_MAX = 256 };

/* One of the six values that a stream does not tell by itself. */
typedef struct cilium_value {
  format from;
  text constant; /* as it stands in the packet, when `from` is literal text */
  bool varies;
  told bad;
} cilium_value;

/* What the packets of one sink hold. */
typedef struct cilium {
  size_t max_packet;
  queue_limits limits; /* of the socket's queue, as this sink's config has them */
  cilium_value values[CILIUM_VALUES];
} cilium;

typedef struct cilium_packet {
  slice bytes; /* the worker's own, until its next packet */
  bool trimmed;
  unsigned bad_values; /* formats whose text was no number, or neither true nor false */
} cilium_packet;

cilium *cilium_new(size_t max_packet);
void cilium_free(cilium *c);
/* Encodes a value that does not change; while the config loads, after the last part of its format. */
void cilium_compile(cilium *c, int which);
/* Appends one of the values, CILIUM_*. Returns 1 when its text was none (0 is taken), else 0. What is
 * not there at all is 0, too, and nothing is wrong with it. */
unsigned cilium_put_value(cilium *c, int which, const entry *e, const plan *p, const host *h,
                          text *out);
/* The fields of an entry that packets hold. when: FROM_*. */
uint64_t cilium_fields(int when);

/* kind: RECORD_REQUEST, RECORD_DENIED, or RECORD_DENIED + 1 for the response. */
cilium_packet encode_cilium(const entry *e, const plan *p, const host *h, cilium *c, int kind);

/* Appends a KeyValue as this field. */
void cilium_put_pair(text *out, unsigned field, slice key, slice value);
/* Copies a packet of more than `max` bytes, whose HttpLogEntry begins (with its tag) at `http`, and
 * leaves out or cuts what does not fit. cilium_trim.c says what goes first. */
void cilium_trim(slice packet, size_t http, size_t max, text *out);

#endif
