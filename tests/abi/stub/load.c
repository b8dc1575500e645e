/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c: every worker drives many streams at once, each with a life that a seed chooses. Nothing
 * here takes a lock that two workers share: it would hide the module's own races.
 */
#include "stub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct load {
  config *config;
  unsigned streams;
  uint64_t seed;
  uint64_t requests, responses; /* entries that are due if the module only records */
} load;

static load loads[16];
static unsigned load_count;

static uint64_t next(uint64_t *seed) { /* xorshift64 */
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

static bytes text(const char *c) { return bytes_copy(c, strlen(c)); }

static void fill(stream *s, int map, const char *id, uint64_t *seed) {
  char filler[1500];
  size_t length = next(seed) % sizeof filler;
  memset(filler, 'a' + (int)(next(seed) % 26), sizeof filler);
  header_map *m = &s->maps[map];
  if (map == REQUEST_HEADERS) {
    map_add(m, text(":method"), text("GET"));
    map_add(m, text(":path"), text("/load"));
    map_add(m, text(":authority"), text("example.org"));
    map_add(m, text("x-request-id"), text(id));
  } else if (map == RESPONSE_HEADERS) {
    map_add(m, text(":status"), text("200"));
  }
  map_add(m, text("x-filler"), bytes_copy(filler, length));
}

static void respond(stream *s, const char *id, uint64_t *seed) {
  uint64_t how = next(seed) % 8;
  if (how == 0) { /* the client went away first */
    return;
  }
  fill(s, RESPONSE_HEADERS, id, seed);
  if (how == 1) { /* a filter behind ours gave up: only the local reply is heard of */
    (void)hook_local_reply(s, 503, (bytes){(char *)"overflow", 8}, false);
    return;
  }
  (void)hook_headers(s, RESPONSE_HEADERS, how == 2);
  if (how > 2) {
    (void)hook_body(s, false, (bytes){(char *)"body", 4}, how < 6);
  }
  if (how >= 6) {
    fill(s, RESPONSE_TRAILERS, id, seed);
    (void)hook_trailers(s, RESPONSE_TRAILERS);
  }
}

static void one(load *l, unsigned number, uint64_t *seed) {
  char id[32];
  snprintf(id, sizeof id, "w%d-%u", here, number);
  stream *s = stream_make(NULL, l->config, here, NULL);
  if (next(seed) % 16 != 0) { /* else: the codec answered before any request header */
    fill(s, REQUEST_HEADERS, id, seed);
    l->requests++;
    (void)hook_headers(s, REQUEST_HEADERS, true);
  }
  respond(s, id, seed);
  l->responses++; /* whatever it was */
  hook_complete(s);
  stream_kill(s);
}

/* A stream that only an access logger is told of. */
static void logged(load *l, unsigned number, uint64_t *seed) {
  char id[32];
  snprintf(id, sizeof id, "w%d-%u", here, number);
  stream *s = stream_bare(NULL, here);
  fill(s, REQUEST_HEADERS, id, seed);
  fill(s, RESPONSE_HEADERS, id, seed);
  hook_log(s, l->config, TYPE(access_log_type_DownstreamEnd));
  l->responses++;
  stream_kill(s);
}

static void run(void *argument) {
  load *l = argument;
  uint64_t seed = l->seed * 2654435761u + (uint64_t)here + 1;
  for (unsigned i = 0; i < l->streams; i++) {
    if (l->config->of_logger) {
      logged(l, i, &seed);
    } else {
      one(l, i, &seed);
    }
  }
}

void load_begin(config *c, unsigned streams, uint64_t seed) {
  load_count = settings.concurrency;
  for (unsigned i = 0; i < load_count; i++) {
    loads[i] = (load){c, streams, seed, 0, 0};
    threads_begin((int)i, run, &loads[i]);
  }
}

void load_print(void) {
  uint64_t requests = 0, responses = 0;
  for (unsigned i = 0; i < load_count; i++) {
    requests += loads[i].requests;
    responses += loads[i].responses;
  }
  json j = event("load", "");
  json_number(&j, "requests", (double)requests);
  json_number(&j, "responses", (double)responses);
  json_send(&j);
}
