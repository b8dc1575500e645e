/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_json.c: an entry as one line of JSON. What does not change (keys, punctuation) was put
 * together by the compiler; a header's value can neither end its string nor its line (escape.c).
 */
#include "escape.h"
#include "logger_fields.h"

/* A text's key has its first quote. */
#define KEY_FIELD_TEXT(name) ",\"" #name "\":\""
#define KEY_FIELD_NUMBER(name) ",\"" #name "\":"
#define KEY_FIELD_TRUE(name) KEY_FIELD_NUMBER(name)
#define KEY_FIELD_HEADERS(name) KEY_FIELD_NUMBER(name)
#define KEY_FIELD_NOTES(name) KEY_FIELD_NUMBER(name)
#define FIELD_SPEC(name, type, when, since)                                                        \
  {KEY_##type(name), SLICE(#name), sizeof KEY_##type(name) - 1, type, when, since},

const field_spec FIELDS[FIELD_COUNT] = {ENTRY_FIELDS(FIELD_SPEC)};

/* A byte may become this many, and a header takes this much beside its name and value: quotes, colon,
 * comma, what stands for a hidden value, and copying in blocks. */
enum { BYTE_ROOM = 8, HEADER_ROOM = 64 };

/* All that an entry takes beside texts, headers and notes: wherever one of these is written, so much
 * is left for the rest. */
enum { FIXED_ROOM = FIELD_COUNT * (FIELD_KEY_ROOM + NUMBER_ROOM) };

/* Writes a key of ours in whole blocks, which write up to two behind it. */
static inline char *put_block(char *out, slice key) {
  size_t i = 0;
  do {
    memcpy(out + i, key.data + i, 2 * BLOCK);
    i += 2 * BLOCK;
  } while (i < key.length);
  return out + key.length;
}

/* Writes a name, up to the first quote of its value. */
static inline char *put_name(char *out, const header_use *use, slice name, bool *valid) {
  if (use->key.length > 0) {
    return put_block(out, use->key);
  }
  *out++ = '"';
  out = json_at(out, name, valid);
  memcpy(out, "\":\"", 3);
  return out + 3;
}

/* Writes one value, or what stands for it, up to its last quote. */
static inline char *put_value(char *out, const listed_header *l, bool *valid) {
  slice value = l->use->use & USE_HIDDEN ? REDACTED : header_value(l->header);
  out = json_at(out, value, valid);
  *out = '"';
  return out + 1;
}

/* Writes a map's members as they come; no name comes twice. Each ends with a comma. */
static char *put_members(char *out, const header_view *map, bool *valid) {
  const listed_header *end = map->listed + map->listed_count;
  for (const listed_header *l = map->listed; l < end; l++) {
    if (l->use->use & USE_MEMBER) {
      out = put_name(out, l->use, header_name(l->header), valid);
      out = put_value(out, l, valid);
      *out++ = ',';
    }
  }
  return out;
}

/* The next listed header with the name of this one; the end when there is none. */
static const listed_header *next_same(const header_view *map, const listed_header *l,
                                      const listed_header *from) {
  const listed_header *end = map->listed + map->listed_count;
  while (from < end && !slice_is(header_name(from->header), header_name(l->header))) {
    from++;
  }
  return from;
}

/* The same with all values of a name at its first place, an array when there are several. */
static char *put_grouped(char *out, const header_view *map, bool *valid) {
  const listed_header *end = map->listed + map->listed_count;
  for (const listed_header *l = map->listed; l < end; l++) {
    if (!(l->use->use & USE_MEMBER) || next_same(map, l, map->listed) < l) {
      continue;
    }
    const listed_header *next = next_same(map, l, l + 1);
    bool several = next < end;
    out = put_name(out, l->use, header_name(l->header), valid);
    if (several) {
      memcpy(out - 1, "[\"", 2); /* the bracket in place of the quote */
      out++;
    }
    out = put_value(out, l, valid);
    for (; next < end; next = next_same(map, l, next + 1)) {
      memcpy(out, ",\"", 2);
      out = put_value(out + 2, next, valid);
    }
    if (several) {
      *out++ = ']';
    }
    *out++ = ',';
  }
  return out;
}

/* Writes a map as an object. */
static inline char *put_headers(char *out, const header_view *map, text *t, bool *valid) {
  out = text_room(t, out, map->listed_bytes * BYTE_ROOM + (map->listed_count + 1) * HEADER_ROOM +
                              FIXED_ROOM);
  *out++ = '{';
  char *start = out;
  out = map->repeated ? put_grouped(out, map, valid) : put_members(out, map, valid);
  out -= out > start; /* the last comma */
  *out++ = '}';
  return out;
}

/* Appends one kind of notes: notes as an object, the others as an array of pairs. */
static bool put_notes(const note *notes, int kind, text *out) {
  char before = kind == NOTE_NOTE ? '{' : '[';
  bool valid = true;
  for (const note *n = notes; n != NULL; n = n->next) {
    if (n->kind != kind) {
      continue;
    }
    text_byte(out, before);
    before = ',';
    text_put(out, kind == NOTE_NOTE ? SLICE("") : SLICE("["));
    valid &= text_json(out, n->key);
    text_byte(out, kind == NOTE_NOTE ? ':' : ',');
    text_json_value(out, n->json);
    text_put(out, kind == NOTE_NOTE ? SLICE("") : SLICE("]"));
  }
  text_byte(out, kind == NOTE_NOTE ? '}' : ']');
  return valid;
}

/* Writes a field's value behind its key. */
static inline char *put_field(char *out, const entry *e, unsigned field, text *t, bool *valid) {
  switch (FIELDS[field].type) {
  case FIELD_TEXT:
    out = text_room(t, out, e->value[field].text.length * BYTE_ROOM + FIXED_ROOM);
    out = json_at(out, e->value[field].text, valid);
    *out++ = '"';
    return out;
  case FIELD_NUMBER:
    return number_at(out, e->value[field].number);
  case FIELD_TRUE:
    memcpy(out, "true", 4);
    return out + 4;
  case FIELD_HEADERS:
    return put_headers(out, &e->maps[field - field_request_headers], t, valid);
  case FIELD_NOTES:
    break;
  }
  text_end_at(t, out);
  *valid &= put_notes(e->notes, (int)(field - field_notes), t);
  return text_room(t, text_end(t), FIXED_ROOM);
}

static inline char *put_key(char *out, unsigned field) {
  memcpy(out, FIELDS[field].key, FIELD_KEY_ROOM);
  return out + FIELDS[field].key_length;
}

void encode_json(entry *e, const plan *p, slice kind, uint64_t fields, text *t) {
  size_t start = t->length;
  bool valid = true;
  char *out = text_room(t, text_end(t), FIXED_ROOM);
  e->value[field_kind].text = kind;
  e->have |= FIELD_BIT(kind);
  for (uint64_t left = fields & e->have; left != 0; left &= left - 1) {
    unsigned field = (unsigned)__builtin_ctzll(left);
    out = put_field(put_key(out, field), e, field, t, &valid);
  }
  if (p->logger_field_count > 0) {
    text_end_at(t, out);
    valid &= logger_fields_put(p->logger_fields, p->logger_field_count, &e->log, t);
    out = text_room(t, text_end(t), FIXED_ROOM);
  }
  if (!valid && (fields & FIELD_BIT(invalid_utf8))) {
    out = put_field(put_key(out, field_invalid_utf8), e, field_invalid_utf8, t, &valid);
  }
  out += out == t->data + start; /* an entry without fields */
  t->data[start] = '{';          /* in place of the first key's comma */
  memcpy(out, "}\n", 2);
  text_end_at(t, out + 2);
}
