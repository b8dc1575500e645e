/* SPDX-License-Identifier: Apache-2.0
 *
 * commands_stream.c: commands for a stream: its hooks, and what the host knows of it.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "commands.h"

/* --- a stream's hooks --- */

/* The words from `first` on, name=value each, become the map. */
static void fill_map(words *w, int map, int first) {
  header_map *m = &w->stream->maps[map];
  map_clear(m);
  m->present = true;
  for (int i = first; i < w->count; i++) {
    char *equals = strchr(w->word[i] + 1, '='); /* +1: a name is never empty */
    if (equals == NULL) {
      fail("not name=value", w->word[i]);
      return;
    }
    *equals = '\0';
    map_add(m, unescape(w->word[i]), unescape(equals + 1));
  }
}

static bool yes(const char *word) { return word[0] == '1'; }

void do_request_headers(words *w) { /* request_headers STREAM END name=value ... */
  fill_map(w, REQUEST_HEADERS, 3);
  (void)hook_headers(w->stream, REQUEST_HEADERS, yes(w->word[2]));
}

void do_response_headers(words *w) {
  fill_map(w, RESPONSE_HEADERS, 3);
  (void)hook_headers(w->stream, RESPONSE_HEADERS, yes(w->word[2]));
}

static void body(words *w, bool request) { /* ..._body STREAM END DATA */
  bytes data = unescape(w->word[3]);
  (void)hook_body(w->stream, request, data, yes(w->word[2]));
  bytes_free(&data);
}

void do_request_body(words *w) { body(w, true); }
void do_response_body(words *w) { body(w, false); }

void do_request_trailers(words *w) {
  fill_map(w, REQUEST_TRAILERS, 2);
  (void)hook_trailers(w->stream, REQUEST_TRAILERS);
}

void do_response_trailers(words *w) {
  fill_map(w, RESPONSE_TRAILERS, 2);
  (void)hook_trailers(w->stream, RESPONSE_TRAILERS);
}

void do_map(words *w) { /* map STREAM MAP name=value ...: changed by another filter */
  lend_release(w->stream, HOOK, 0);
  fill_map(w, atoi(w->word[2]), 3);
}

void do_local_reply(words *w) { /* local_reply STREAM CODE DETAILS RESET_IMMINENT */
  bytes details = unescape(w->word[3]);
  (void)hook_local_reply(w->stream, (uint32_t)atoi(w->word[2]), details, yes(w->word[4]));
  bytes_free(&details);
}

void do_complete(words *w) { hook_complete(w->stream); }
void do_above(words *w) { hook_watermark(w->stream, true); }
void do_below(words *w) { hook_watermark(w->stream, false); }
void do_destroy(words *w) { stream_kill(w->stream); }

/* Waits until COUNT wake-ups are there and calls the hook for each. */
void do_pump(words *w) { /* pump STREAM COUNT */
  mailbox *m = w->stream->mailbox;
  size_t wanted = (size_t)atoi(w->word[2]);
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 20;
  uint64_t ids[sizeof m->ids / sizeof m->ids[0]];
  pthread_mutex_lock(&m->lock);
  while (m->count < wanted && pthread_cond_timedwait(&m->filled, &m->lock, &deadline) == 0) {
  }
  size_t count = m->count;
  memcpy(ids, m->ids, sizeof ids);
  m->count = 0;
  pthread_mutex_unlock(&m->lock);
  if (count < wanted) {
    fail("no wake-up came", w->word[1]);
  }
  for (size_t i = 0; i < count && w->stream->mailbox != NULL; i++) {
    hook_scheduled(w->stream, ids[i]);
  }
}

void do_wake(words *w) { hook_scheduled(w->stream, (uint64_t)atoi(w->word[2])); }

/* --- a stream's other data --- */

void do_attribute(words *w) { /* attribute STREAM ID s|i|b VALUE */
  bytes value = unescape(w->word[4]);
  attribute_put(w->stream, atoi(w->word[2]), w->word[3][0], value, strtoull(w->word[4], NULL, 10));
  bytes_free(&value);
}

void do_state(words *w) { /* state STREAM SOURCE NAMESPACE KEY s|n|b|S|N|B|o VALUE ... */
  bytes ns = unescape(w->word[3]), key = unescape(w->word[4]);
  entry *e = entry_put(w->stream, atoi(w->word[2]), ns, key, w->word[5][0]);
  for (int i = 6; i < w->count; i++) {
    bytes value = unescape(w->word[i]);
    entry_add(e, value, atof(w->word[i]));
    bytes_free(&value);
  }
  bytes_free(&ns);
  bytes_free(&key);
}

void do_same_buffer(words *w) { w->stream->same_buffer = yes(w->word[2]); }

void do_print(words *w) {
  state_print(w->stream);
  for (int map = 0; map < MAPS; map++) {
    json j = event("map", "");
    json_number(&j, "number", map);
    json_bool(&j, "present", w->stream->maps[map].present);
    json_open(&j, "headers", '[');
    for (size_t i = 0; i < w->stream->maps[map].count; i++) {
      pair p = w->stream->maps[map].pairs[i];
      json_open(&j, NULL, '[');
      json_bytes(&j, NULL, p.name.ptr, p.name.length);
      json_bytes(&j, NULL, p.value.ptr, p.value.length);
      json_close(&j, ']');
    }
    json_close(&j, ']');
    json_send(&j);
  }
}
