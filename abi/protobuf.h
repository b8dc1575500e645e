/* SPDX-License-Identifier: Apache-2.0
 *
 * protobuf.h: the wire format of proto3, as much as cilium.LogEntry needs. What has its default
 * value is left out, and fields go in the order of their numbers, so that the bytes are those of
 * a deterministic serialization.
 */
#ifndef PYFILTER_PROTOBUF_H
#define PYFILTER_PROTOBUF_H

#include "escape.h"

enum { WIRE_VARINT = 0, WIRE_LENGTH = 2, LONGEST_VARINT = 10 };

static inline size_t proto_varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) {
    size++;
  }
  return size;
}

/* Writes at a place that has room. */
static inline char *proto_varint_at(char *at, uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    *at++ = (char)(value | 0x80);
  }
  *at++ = (char)value;
  return at;
}

static inline void proto_varint(text *out, uint64_t value) {
  text_need(out, LONGEST_VARINT);
  out->length = (size_t)(proto_varint_at(out->data + out->length, value) - out->data);
}

static inline void proto_tag(text *out, unsigned field, unsigned type) {
  proto_varint(out, field << 3 | type);
}

static inline void proto_number(text *out, unsigned field, uint64_t value) {
  if (value != 0) {
    proto_tag(out, field, WIRE_VARINT);
    proto_varint(out, value);
  }
}

/* Begins what has its length in front; likely: the length that it will have, if all goes well.
 * Returns where it begins. */
static inline size_t proto_begin(text *out, unsigned field, size_t likely) {
  proto_tag(out, field, WIRE_LENGTH);
  size_t room = proto_varint_size(likely);
  text_need(out, room);
  out->length += room;
  return out->length;
}

/* Ends it: writes the length, and moves what was written when the length takes other room. */
static inline void proto_end(text *out, size_t begin, size_t likely) {
  size_t length = out->length - begin;
  size_t room = proto_varint_size(likely);
  size_t needed = proto_varint_size(length);
  if (needed != room) {
    text_need(out, needed);
    memmove(out->data + begin - room + needed, out->data + begin, length);
    out->length = out->length - room + needed;
  }
  proto_varint_at(out->data + begin - room, length);
}

/* Below these a field's tag and a length take a byte each. */
enum { SMALL_FIELD = 16, SMALL_LENGTH = 0x80 };

/* Appends a string; what is not UTF-8 is replaced. */
static inline void proto_text(text *out, unsigned field, slice value) {
  if (value.length == 0) {
    return;
  }
  if (value.length < SMALL_LENGTH && field < SMALL_FIELD) {
    char *at = text_room(out, text_end(out), value.length + 2);
    at[0] = (char)(field << 3 | WIRE_LENGTH);
    at[1] = (char)value.length;
    if (copy_ascii(at + 2, value)) {
      out->length += value.length + 2;
      return;
    }
  }
  size_t begin = proto_begin(out, field, value.length);
  text_utf8(out, value);
  proto_end(out, begin, value.length);
}

/* The bytes that a string takes when it needs no repair. */
static inline size_t proto_text_size(slice value) {
  return value.length == 0 ? 0 : 1 + proto_varint_size(value.length) + value.length;
}

#endif
