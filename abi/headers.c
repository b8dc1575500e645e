/* SPDX-License-Identifier: Apache-2.0
 *
 * headers.c: see headers.h. A map has some ten headers, so what is done for each of them is most of
 * what an entry costs.
 */
#include "headers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "escape.h"

enum { SMALLEST_BITS = 6 };

/* What is done with names that no table has, by USE_*. */
#define OTHER(use) {{0, 0}, {NULL, 0}, {NULL, 0}, 0, use, NOT_KEPT}
static const header_use OTHERS[] = {
    OTHER(0), OTHER(1), OTHER(2),  OTHER(3),  OTHER(4),  OTHER(5),  OTHER(6),  OTHER(7),
    OTHER(8), OTHER(9), OTHER(10), OTHER(11), OTHER(12), OTHER(13), OTHER(14), OTHER(15),
};

static inline name_ends ends_of(slice name) {
  size_t n = name.length;
  if (n >= 8) {
    return (name_ends){load64(name.data), load64(name.data + n - 8)};
  }
  if (n >= 4) {
    return (name_ends){load32(name.data), load32(name.data + n - 4)};
  }
  if (n == 0) {
    return (name_ends){0, 0};
  }
  return (name_ends){(uint64_t)(unsigned char)name.data[0] << 8 | (unsigned char)name.data[n / 2],
                     (unsigned char)name.data[n - 1]};
}

/* A cheap hash of a name; its first bits are the good ones. */
static inline uint64_t hash_of(name_ends ends, size_t length) {
  return ((ends.first << 13 | ends.first >> 51) ^ (ends.last + length)) *
         UINT64_C(0x9e3779b97f4a7c15);
}

/* Pseudo headers have fields of their own. */
static bool is_ordinary(slice name) { return name.length > 0 && name.data[0] != ':'; }

/* What a verdict of the rules comes to. */
static unsigned use_from(const header_table *t, unsigned verdict, bool ordinary) {
  unsigned use = verdict & HEADER_HIDDEN ? USE_HIDDEN : 0;
  if (verdict & HEADER_SHOWN) {
    use |= (t->lines && ordinary ? USE_MEMBER : 0) | (t->packets ? USE_PACKED : 0);
  }
  return use & (USE_MEMBER | USE_PACKED) ? use | USE_LISTED : use;
}

static unsigned use_by_rules(const header_table *t, slice name) {
  return use_from(t, rules_verdict(t->rules, name), is_ordinary(name));
}

/* Whether two names of the same length are the same between their ends. */
__attribute__((noinline)) static bool middle_is(slice one, slice other) {
  uint64_t different = 0;
  for (size_t i = 8; i + 8 < one.length; i += 8) {
    different |= load64(one.data + i) ^ load64(other.data + i);
  }
  return different == 0;
}

static inline bool is_name_of(const header_use *use, slice name, name_ends ends) {
  if (use->ends.last != ends.last || use->ends.first != ends.first ||
      use->name.length != name.length) {
    return false;
  }
  return name.length <= 16 || middle_is(use->name, name);
}

/* Where a name stands in the table, or where it would. */
static header_use *place_of(const header_table *t, slice name, name_ends ends) {
  size_t at = hash_of(ends, name.length) >> t->shift;
  while (!is_name_of(&t->uses[at], name, ends) && t->uses[at].name.length > 0) {
    at = (at + 1) & t->mask;
  }
  return &t->uses[at];
}

/* --- while the config loads --- */

/* There is room behind it, so that it can be copied in whole blocks. */
static slice json_key(slice name) {
  text made = {NULL, 0, 0};
  text_json(&made, name);
  text_put(&made, SLICE(":\""));
  char *key = must_allocate(made.length + 2 * BLOCK);
  memcpy(key, made.data, made.length);
  memset(key + made.length, 0, 2 * BLOCK);
  free(made.data);
  return (slice){key, made.length};
}

static void make_room(header_table *t, unsigned bits) {
  t->shift = 64 - bits;
  t->mask = ((size_t)1 << bits) - 1;
  t->uses = calloc(t->mask + 1, sizeof *t->uses);
  if (t->uses == NULL) {
    abort();
  }
}

/* Where a name stands, or would. */
static header_use *search(const header_table *t, slice name) {
  return place_of(t, name, ends_of(name));
}

static void grow(header_table *t) {
  header_table old = *t;
  make_room(t, 64 - old.shift + 1);
  for (size_t i = 0; i <= old.mask; i++) {
    if (old.uses[i].name.length > 0) {
      *search(t, old.uses[i].name) = old.uses[i];
    }
  }
  free(old.uses);
}

/* The entry of a name, made when it is not there. The table is four times as large as what is in
 * it, so that a search ends soon. */
static header_use *entry_of(header_table *t, slice name) {
  header_use *entry = search(t, name);
  if (entry->name.length == 0) {
    if (t->names * 4 > t->mask) {
      grow(t);
      entry = search(t, name);
    }
    *entry = (header_use){.ends = ends_of(name),
                          .name = slice_copy(name.data, name.length),
                          .key = json_key(name),
                          .use = (uint8_t)use_by_rules(t, name),
                          .kept = NOT_KEPT,
                          .bit = UINT64_C(1) << (t->names++ % 64)};
  }
  return entry;
}

void headers_compile(header_table *t, const rules *r, bool lines, bool packets) {
  static _Atomic uint64_t serials;
  *t = (header_table){.rules = r, .lines = lines, .packets = packets};
  t->serial = atomic_fetch_add(&serials, 1) + 1;
  make_room(t, SMALLEST_BITS);
  t->others = use_from(t, r->other_names, true);
  for (size_t i = 0; i < r->count; i++) {
    slice name = rules_name(r, i);
    if (name.length > 0) {
      entry_of(t, name);
    }
  }
}

void headers_free(header_table *t) {
  for (size_t i = 0; t->uses != NULL && i <= t->mask; i++) {
    free((char *)t->uses[i].name.data);
    free((char *)t->uses[i].key.data);
  }
  free(t->uses);
}

unsigned headers_keep(header_table *t, slice name, unsigned place) {
  header_use *entry = entry_of(t, name);
  if (entry->kept == NOT_KEPT) {
    entry->kept = (uint8_t)place;
  }
  return entry->kept;
}

void headers_look_at(header_table *t, slice name) { entry_of(t, name)->use |= USE_LISTED; }

void headers_leave_out(header_table *t, slice name) {
  header_use *entry = entry_of(t, name);
  entry->use &= (uint8_t)~USE_PACKED;
  if (!(entry->use & USE_MEMBER)) {
    entry->use &= (uint8_t)~USE_LISTED;
  }
}

void headers_compiled(header_table *t) {
  bool matter = t->rules->has_globs || (t->others & USE_LISTED);
  for (size_t i = 0; i <= t->mask; i++) {
    if (t->uses[i].name.length == 0) {
      t->uses[i] = OTHERS[0];
      t->uses[i].use = matter ? USE_OTHER : 0;
    }
  }
}

/* --- for each stream --- */

/* Names seen that the table lacks, a bit for each hash: two may share one, but a name that comes
 * again finds its bit. */
enum { SEEN_WORDS = 8 };
typedef struct seen_names {
  bool begun; /* the words hold something */
  bool again; /* a bit was found */
  uint64_t words[SEEN_WORDS];
} seen_names;

static void see(seen_names *seen, uint64_t hash) {
  uint64_t bit = UINT64_C(1) << (hash & 63);
  if (!seen->begun) {
    memset(seen->words, 0, sizeof seen->words);
    seen->begun = true;
  }
  uint64_t *word = &seen->words[hash >> 61];
  seen->again = seen->again || (*word & bit);
  *word |= bit;
}

/* What is done with a name that the table lacks. Out of the way, because most maps have none for
 * which it matters. */
__attribute__((noinline)) static const header_use *use_of_other(const header_table *t, slice name,
                                                                seen_names *seen) {
  bool plain = is_ordinary(name) && !t->rules->has_globs;
  const header_use *use = &OTHERS[plain ? t->others : use_by_rules(t, name)];
  if (use->use & USE_LISTED) {
    see(seen, hash_of(ends_of(name), name.length));
  }
  return use;
}

void header_room_grow(header_room *room, size_t count) {
  header_room_free(room);
  room->capacity = count * 2;
  room->serial = 0;
  room->headers = must_allocate(room->capacity * sizeof *room->headers);
  room->listed = must_allocate(room->capacity * sizeof *room->listed);
  room->guesses = must_allocate(room->capacity * sizeof *room->guesses);
}

void header_room_free(header_room *room) {
  free(room->headers);
  free(room->listed);
  free(room->guesses);
}

/* The guesses are another table's, which may be gone. */
static void forget(header_room *room, uint64_t serial) {
  for (size_t i = 0; i < room->capacity; i++) {
    room->guesses[i] = &OTHERS[0];
  }
  room->serial = serial;
}

/* From the last to the first: so the first of a name is what is kept, without a question. */
void headers_look(const header_table *t, header_room *room, size_t count, header_view *view,
                  kept_headers *kept) {
  const http_header *first = room->headers;
  const http_header *header = first + count;
  listed_header *end = room->listed + count;
  listed_header *listed = end;
  const header_use **guess = room->guesses + count;
  seen_names seen;
  seen.begun = seen.again = false;
  uint64_t known = 0;
  uint64_t again = 0;
  size_t bytes = 0;
  if (room->serial != t->serial) {
    forget(room, t->serial);
  }
  while (header-- > first) {
    slice name = header_name(header);
    name_ends ends = ends_of(name);
    const header_use *use = *--guess;
    if (!is_name_of(use, name, ends)) {
      use = *guess = place_of(t, name, ends);
    }
    kept->at[use->kept] = header;
    if (use->use & USE_OTHER) {
      use = use_of_other(t, name, &seen);
    }
    if (use->use & USE_LISTED) {
      again |= known & use->bit;
      known |= use->bit;
      *--listed = (listed_header){use, header};
      bytes += name.length + header->value_length;
    }
  }
  *view = (header_view){
      .headers = first,
      .count = count,
      .listed = listed,
      .listed_count = (size_t)(end - listed),
      .listed_bytes = bytes,
      .repeated = again != 0 || seen.again,
  };
}
