/* SPDX-License-Identifier: Apache-2.0
 *
 * format.c: see format.h. What a part needs is read by the capture, except filter state and
 * metadata, which are read when the text is made.
 */
#include "format.h"

#include <stdlib.h>

void format_add(format *f, int op, int map, slice what, field_id field, size_t max_length) {
  format_part part = {.op = op, .map = map, .kept = NOT_KEPT, .max_length = max_length, .field = field};
  part.memory = part.text = slice_copy(what.data, what.length);
  if (op == PART_METADATA) { /* namespace:key */
    const char *colon = memchr(part.text.data, ':', part.text.length);
    size_t length = colon != NULL ? (size_t)(colon - part.text.data) : part.text.length;
    part.name_space = (slice){part.text.data, length};
    length += colon != NULL;
    part.text = (slice){part.text.data + length, part.text.length - length};
    part.last = calloc(1, sizeof *part.last);
    if (part.last == NULL) {
      abort();
    }
  }
  f->parts = one_more(f->parts, f->count, sizeof *f->parts);
  f->parts[f->count++] = part;
}

void format_free(format *f) {
  for (size_t i = 0; i < f->count; i++) {
    free((char *)f->parts[i].memory.data);
    free(f->parts[i].last);
  }
  free(f->parts);
}

void format_needs(const plan *p, const format_part *part, int when, uint64_t *fields,
                  unsigned *maps) {
  if (part->op == PART_FIELD && field_is_served(p, part->field) &&
      FIELDS[part->field].when <= when) {
    *fields |= UINT64_C(1) << part->field;
    *maps |= entry_maps(UINT64_C(1) << part->field);
  } else if (part->op == PART_HEADER && (when == FROM_RESPONSE || part->map == MAP_REQUEST)) {
    *maps |= 1u << part->map;
  }
}

void format_keep(format *f, plan *p) {
  for (size_t i = 0; i < f->count; i++) {
    format_part *part = &f->parts[i];
    if (part->op == PART_HEADER) {
      header_table *t = &p->tables[part->map];
      part->kept = headers_keep(t, part->text, p->kept);
      p->kept += part->kept == p->kept && p->kept < KEPT_MOST;
      part->hidden = rules_hide(t->rules, part->text);
    }
  }
}

bool format_is_constant(const format *f) {
  for (size_t i = 0; i < f->count; i++) {
    if (f->parts[i].op != PART_LITERAL) {
      return false;
    }
  }
  return true;
}

/* Finds a header that has no place of its own, because there are too many. */
static const http_header *find(const header_view *map, slice name) {
  for (size_t i = 0; i < map->count; i++) {
    if (slice_is(header_name(&map->headers[i]), name)) {
      return &map->headers[i];
    }
  }
  return NULL;
}

/* Appends a header's first value, as Envoy's own formats do, unless it is redacted; false: no such
 * header. */
static bool put_header(const entry *e, const format_part *part, text *out) {
  const http_header *header = part->kept != NOT_KEPT ? e->kept.at[part->kept]
                                                     : find(&e->maps[part->map], part->text);
  if (header != NULL) {
    text_put(out, part->hidden ? REDACTED : header_value(header));
  }
  return header != NULL;
}

/* Appends the text of a note; false: no such note. */
static bool put_note(const entry *e, slice key, text *out) {
  for (const note *n = e->notes; n != NULL; n = n->next) {
    if (n->kind == NOTE_NOTE && slice_is(n->key, key)) {
      text_put(out, n->text);
      return true;
    }
  }
  return false;
}

/* Appends what a part names; false: not known. */
static bool put_known(const entry *e, const host *h, const format_part *part, text *out) {
  switch (part->op) {
  case PART_LITERAL:
    text_put(out, part->text);
    return true;
  case PART_HEADER:
    return put_header(e, part, out);
  case PART_FIELD:
    return entry_field_text(e, part->field, out);
  case PART_NOTE:
    return put_note(e, part->text, out);
  case PART_FILTER_STATE:
    return h->call->state_text(h->envoy, part->text, out);
  default:
    return h->call->metadata_text(h->envoy, part->name_space, part->text, part->last, out);
  }
}

void format_put(const format *f, const entry *e, const host *h, slice missing, text *out) {
  for (size_t i = 0; i < f->count; i++) {
    const format_part *part = &f->parts[i];
    size_t start = out->length;
    if (!put_known(e, h, part, out)) {
      text_put(out, missing);
    } else if (part->max_length > 0 && out->length - start > part->max_length) {
      out->length = start + part->max_length;
    }
  }
}
