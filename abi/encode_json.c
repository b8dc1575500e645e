/* SPDX-License-Identifier: Apache-2.0
 *
 * encode_json.c: an entry as one line of JSON. What does not change (keys, punctuation) was put
 * together by the compiler; a header's value can neither end its string nor its line (text.c).
 */
#include "entry.h"

#define FIELD_SPEC(name, type, when, since)                                                        \
  {SLICE(#name), SLICE(",\"" #name "\":"), type, when, since},

const field_spec FIELDS[FIELD_COUNT] = {ENTRY_FIELDS(FIELD_SPEC)};

/* Names seen while a map is encoded, a bit for each hash: two names may share one, but a name that
 * comes again finds its bit set. */
enum { SEEN_WORDS = 8 };
typedef struct seen {
  uint64_t words[SEEN_WORDS];
} seen;

/* Pseudo headers have fields of their own. */
static bool is_ordinary(slice name) { return name.length > 0 && name.data[0] != ':'; }

/* Notes a hash; true when it was there. */
static bool see(seen *s, uint32_t hash) {
  uint64_t bit = UINT64_C(1) << (hash & 63);
  uint64_t *word = &s->words[hash >> 6 & (SEEN_WORDS - 1)];
  bool before = *word & bit;
  *word |= bit;
  return before;
}

/* Appends one value, or what stands for it. */
static bool put_value(const header_view *map, size_t i, unsigned verdict, text *out) {
  if (verdict & HEADER_HIDDEN) {
    return text_json(out, REDACTED);
  }
  return text_json(out, header_value(map, i));
}

/* Appends a name with its colon. */
static bool put_key(slice name, slice key, text *out) {
  if (key.length > 0) {
    text_put(out, key);
    return true;
  }
  bool valid = text_json(out, name);
  text_byte(out, ':');
  return valid;
}

/* The next header with the name of header i; map->count when there is none. */
static size_t next_same(const header_view *map, size_t i, size_t from) {
  while (from < map->count && !slice_is(header_name(map, from), header_name(map, i))) {
    from++;
  }
  return from;
}

/* Appends all values of the name of header i, an array when there are several. */
static bool put_values(const header_view *map, size_t i, unsigned verdict, text *out) {
  size_t next = next_same(map, i, i + 1);
  if (next == map->count) {
    return put_value(map, i, verdict, out);
  }
  text_byte(out, '[');
  bool valid = put_value(map, i, verdict, out);
  for (; next < map->count; next = next_same(map, i, next + 1)) {
    text_byte(out, ',');
    valid &= put_value(map, next, verdict, out);
  }
  text_byte(out, ']');
  return valid;
}

/* How the headers of a map are gone through: as they come until a name may have come before, or
 * with all values of a name at its first place. */
typedef enum { AS_THEY_COME, GROUPED } header_order;

/* Appends the members of a map's object. False: AS_THEY_COME does not do. */
static bool put_members(const header_view *map, const rules *r, header_order order, text *out,
                        bool *valid) {
  seen names = {{0}};
  for (size_t i = 0; i < map->count; i++) {
    slice name = header_name(map, i);
    slice key;
    uint32_t hash = name_hash(name);
    unsigned verdict = is_ordinary(name) ? rules_verdict(r, name, hash, &key) : 0;
    if (!(verdict & HEADER_SHOWN)) {
      continue;
    }
    bool again = see(&names, hash);
    if (again && order == AS_THEY_COME) {
      return false;
    }
    if (again && next_same(map, i, 0) < i) {
      continue; /* it stands with the first of its name */
    }
    *valid &= put_key(name, key, out);
    *valid &= order == GROUPED ? put_values(map, i, verdict, out) : put_value(map, i, verdict, out);
    text_byte(out, ',');
  }
  return true;
}

/* Appends a map as an object. False when something was not UTF-8. */
static bool put_headers(const header_view *map, const rules *r, text *out) {
  size_t start = out->length;
  bool valid = true;
  text_byte(out, '{');
  if (!put_members(map, r, AS_THEY_COME, out, &valid)) {
    out->length = start + 1;
    valid = true;
    put_members(map, r, GROUPED, out, &valid);
  }
  if (out->length > start + 1) {
    out->length--; /* the last comma */
  }
  text_byte(out, '}');
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
    return put_headers(&e->maps[MAP_REQUEST], &p->rules[PLAN_REQUEST], out);
  case field_request_trailers:
    return put_headers(&e->maps[MAP_REQUEST_TRAILERS], &p->rules[PLAN_REQUEST], out);
  case field_response_headers:
    return put_headers(&e->maps[MAP_RESPONSE], &p->rules[PLAN_RESPONSE], out);
  default:
    return put_headers(&e->maps[MAP_RESPONSE_TRAILERS], &p->rules[PLAN_RESPONSE], out);
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
