/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_json.c: an entry as one line of JSON. What does not change (keys, punctuation) was put
 * together by the compiler; a header's value can neither end its string nor its line (text.c).
 */
#include "entry.h"
#include "worker.h"

#define FIELD_SPEC(name, type, when, since)                                                        \
  {SLICE(#name), SLICE(",\"" #name "\":"), type, when, since},

const field_spec FIELDS[FIELD_COUNT] = {ENTRY_FIELDS(FIELD_SPEC)};

/* Of each header while its map is encoded: what rules_verdict said, and bits of its name's hash
 * that tell most different names apart. 0: not shown, or shown already. */
enum { MARK_VERDICT = HEADER_SHOWN | HEADER_HIDDEN, SEEN_WORDS = 8 };

static const slice HIDDEN = {"[redacted]", 10};

static slice name_of(const header_view *map, size_t i) {
  return (slice){map->headers[i].key_ptr, map->headers[i].key_length};
}

/* Marks what is shown. Returns whether some names may be the same. */
static bool mark_headers(const header_view *map, const rules *r, uint32_t *marks) {
  uint64_t seen[SEEN_WORDS] = {0};
  bool maybe_repeated = false;
  for (size_t i = 0; i < map->count; i++) {
    slice name = name_of(map, i);
    marks[i] = 0;
    if (name.length == 0 || name.data[0] == ':') {
      continue; /* pseudo headers have fields of their own */
    }
    uint32_t hash = name_hash(name);
    unsigned verdict = rules_verdict(r, name, hash);
    if (verdict & HEADER_SHOWN) {
      uint64_t bit = UINT64_C(1) << (hash >> 2 & 63);
      uint64_t *word = &seen[hash >> 8 & (SEEN_WORDS - 1)];
      maybe_repeated = maybe_repeated || (*word & bit) != 0;
      *word |= bit;
      marks[i] = (hash & ~(uint32_t)MARK_VERDICT) | verdict;
    }
  }
  return maybe_repeated;
}

/* Appends one value, or what stands for it. */
static bool put_value(const header_view *map, size_t i, uint32_t mark, text *out) {
  if (mark & HEADER_HIDDEN) {
    return text_json(out, HIDDEN);
  }
  return text_json(out, (slice){map->headers[i].value_ptr, map->headers[i].value_length});
}

/* The next header with the name of header i; map->count when there is none. */
static size_t next_same(const header_view *map, const uint32_t *marks, size_t i, size_t from) {
  for (size_t j = from; j < map->count; j++) {
    if (marks[j] == marks[i] && slice_is(name_of(map, j), name_of(map, i))) {
      return j;
    }
  }
  return map->count;
}

/* Appends the values of a name that may stand in the map several times: an array if it does. */
static bool put_values(const header_view *map, uint32_t *marks, size_t i, text *out) {
  size_t next = next_same(map, marks, i, i + 1);
  if (next == map->count) {
    return put_value(map, i, marks[i], out);
  }
  text_byte(out, '[');
  bool valid = put_value(map, i, marks[i], out);
  while (next < map->count) {
    text_byte(out, ',');
    valid &= put_value(map, next, marks[next], out);
    size_t done = next;
    next = next_same(map, marks, i, next + 1);
    marks[done] = 0;
  }
  text_byte(out, ']');
  return valid;
}

/* Appends a map as an object. False when a value was not UTF-8. */
static bool put_headers(const header_view *map, const rules *r, text *out) {
  uint32_t *marks = worker_marks(worker_self(), map->count);
  bool maybe_repeated = mark_headers(map, r, marks);
  bool valid = true;
  char before = '{';
  for (size_t i = 0; i < map->count; i++) {
    if (marks[i] == 0) {
      continue;
    }
    text_byte(out, before);
    before = ',';
    valid &= text_json(out, name_of(map, i));
    text_byte(out, ':');
    valid &= maybe_repeated ? put_values(map, marks, i, out) : put_value(map, i, marks[i], out);
  }
  text_put(out, before == '{' ? SLICE("{}") : SLICE("}"));
  return valid;
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

/* Which rules and which map a field of headers shows. */
static bool put_header_field(const entry *e, const plan *p, field_id field, text *out) {
  switch (field) {
  case field_request_headers:
    return put_headers(&e->maps[0], &p->rules[PLAN_REQUEST], out);
  case field_request_trailers:
    return put_headers(&e->maps[1], &p->rules[PLAN_REQUEST], out);
  case field_response_headers:
    return put_headers(&e->maps[2], &p->rules[PLAN_RESPONSE], out);
  default:
    return put_headers(&e->maps[3], &p->rules[PLAN_RESPONSE], out);
  }
}

/* Appends a field's value. False when it was not UTF-8. */
static bool put_field(const entry *e, const plan *p, field_id field, text *out) {
  switch (FIELDS[field].type) {
  case FIELD_TEXT:
    return text_json(out, e->value[field].text);
  case FIELD_NUMBER:
    text_number(out, e->value[field].number);
    return true;
  case FIELD_TRUE:
    text_put(out, SLICE("true"));
    return true;
  case FIELD_HEADERS:
    return put_header_field(e, p, field, out);
  case FIELD_NOTES:
    break;
  }
  return put_notes(e->notes, (int)field - (int)field_notes, out);
}

void encode_json(entry *e, const plan *p, slice kind, uint64_t fields, text *out) {
  size_t start = out->length;
  bool valid = true;
  e->value[field_kind].text = kind;
  e->have |= FIELD_BIT(kind);
  for (uint64_t left = fields & e->have; left != 0; left &= left - 1) {
    field_id field = (field_id)__builtin_ctzll(left);
    text_put(out, FIELDS[field].json_key);
    valid &= put_field(e, p, field, out);
  }
  if (!valid && (fields & FIELD_BIT(invalid_utf8))) {
    text_put(out, FIELDS[field_invalid_utf8].json_key);
    text_put(out, SLICE("true"));
  }
  if (out->length == start) {
    text_byte(out, ',');
  }
  out->data[start] = '{'; /* in place of the first key's comma */
  text_put(out, SLICE("}\n"));
}
