/* SPDX-License-Identifier: Apache-2.0
 *
 * stream.c: configs, routes and streams of the stub host, and the bytes that it lends.
 *
 * What is dead stays in memory with another magic number, so a callback that comes too late is a
 * breach with a name instead of a crash. (A load of many streams frees them: there
 * AddressSanitizer is the judge.)
 */
#include "stub.h"

#include <stdlib.h>
#include <string.h>

enum { LIVE = 0x11fe11fe, DEAD = 0xdeaddead };

struct settings settings = {
    .nulls = true, .local_reply_hook = true, .log_level = 2, .concurrency = 1};

static config *configs;
static route *routes;
static stream *streams;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define FIND(list, wanted)                                                                         \
  do {                                                                                             \
    pthread_mutex_lock(&lock);                                                                     \
    __typeof__(list) one = list;                                                                   \
    while (one != NULL && (one->gone || strcmp(one->id, wanted) != 0)) {                           \
      one = one->next;                                                                             \
    }                                                                                              \
    pthread_mutex_unlock(&lock);                                                                   \
    return one;                                                                                    \
  } while (0)

#define ENTER(list, one)                                                                           \
  do {                                                                                             \
    pthread_mutex_lock(&lock);                                                                     \
    (one)->next = list;                                                                            \
    list = one;                                                                                    \
    pthread_mutex_unlock(&lock);                                                                   \
  } while (0)

config *config_find(const char *id) { FIND(configs, id); }
route *route_find(const char *id) { FIND(routes, id); }
stream *stream_find(const char *id) { FIND(streams, id); }

/* --- lent bytes --- */

const char *lend(stream *s, int place, bytes b) {
  if (b.length == 0 && settings.nulls) {
    return NULL;
  }
  lent *l = must(malloc(sizeof *l));
  *l = (lent){s->lent, place, s->depth, must(malloc(b.length)), b.length};
  if (b.length > 0) {
    memcpy(l->ptr, b.ptr, b.length);
  }
  s->lent = l;
  return l->ptr;
}

TYPE(envoy_buffer) lend_buffer(stream *s, int place, bytes b) {
  return (TYPE(envoy_buffer)){lend(s, place, b), b.length};
}

/* Takes back what was lent from a place (HOOK: from anywhere) at this depth or deeper. */
void lend_release(stream *s, int place, unsigned depth) {
  for (lent **at = &s->lent; *at != NULL;) {
    lent *l = *at;
    if (l->depth >= depth && (place == HOOK || l->place == place)) {
      *at = l->next;
      memset(l->ptr, 0xdd, l->length);
      free(l->ptr);
      free(l);
    } else {
      at = &l->next;
    }
  }
}

/* --- header maps --- */

void map_clear(header_map *m) {
  for (size_t i = 0; i < m->count; i++) {
    bytes_free(&m->pairs[i].name);
    bytes_free(&m->pairs[i].value);
  }
  free(m->pairs);
  *m = (header_map){false, 0, NULL};
}

void map_add(header_map *m, bytes name, bytes value) {
  m->present = true;
  m->pairs = must(realloc(m->pairs, (m->count + 1) * sizeof *m->pairs));
  m->pairs[m->count++] = (pair){name, value};
}

/* --- configs and routes --- */

bool config_alive(const config *c) { return c != NULL && c->magic == LIVE; }

/* An argument as Envoy passes it: gone when the hook returns. */
static TYPE(envoy_buffer) argument(bytes *exact, bytes text) {
  *exact =
      settings.nulls && text.length == 0 ? (bytes){NULL, 0} : bytes_copy(text.ptr, text.length);
  return (TYPE(envoy_buffer)){exact->ptr, exact->length};
}

config *config_make(const char *id, bytes name, bytes text, bool of_logger) {
  config *c = must(calloc(1, sizeof *c));
  c->magic = LIVE;
  c->id = must(strdup(id));
  bytes exact_name, exact_text;
  TYPE(envoy_buffer) name_buffer = argument(&exact_name, name);
  TYPE(envoy_buffer) text_buffer = argument(&exact_text, text);
  c->of_logger = of_logger;
  c->module = of_logger ? hooks.access_logger_config_new(c, name_buffer, text_buffer)
                        : hooks.http_filter_config_new(c, name_buffer, text_buffer);
  bytes_free(&exact_name);
  bytes_free(&exact_text);
  c->frozen = true;
  if (c->module == NULL) {
    c->magic = DEAD; /* refused: nothing of it may be used again */
    c->gone = true;
  }
  ENTER(configs, c);
  return c->module == NULL ? NULL : c;
}

void config_kill(config *c) {
  if (c->of_logger) {
    hooks.access_logger_config_destroy(c->module);
  } else {
    hooks.http_filter_config_destroy(c->module);
  }
  c->magic = DEAD;
  c->gone = true;
}

bool route_make(const char *id, bytes name, bytes text) {
  bytes exact_name, exact_text;
  TYPE(envoy_buffer) name_buffer = argument(&exact_name, name);
  TYPE(envoy_buffer) text_buffer = argument(&exact_text, text);
  const void *module = hooks.http_filter_per_route_config_new(name_buffer, text_buffer);
  bytes_free(&exact_name);
  bytes_free(&exact_text);
  if (module != NULL) {
    route *r = must(calloc(1, sizeof *r));
    r->id = must(strdup(id));
    r->module = module;
    ENTER(routes, r);
  }
  return module != NULL;
}

void route_kill(route *r) {
  hooks.http_filter_per_route_config_destroy(r->module);
  r->gone = true;
}

/* --- streams --- */

static mailbox *mailbox_make(void) {
  mailbox *m = must(calloc(1, sizeof *m));
  pthread_mutex_init(&m->lock, NULL);
  pthread_cond_init(&m->filled, NULL);
  m->holders = 1;
  return m;
}

stream *stream_bare(const char *id, int worker) {
  stream *s = must(calloc(1, sizeof *s));
  s->magic = LIVE;
  s->worker = worker;
  s->buffer_limit = 65536;
  s->mailbox = mailbox_make();
  s->quiet = id == NULL;
  if (id != NULL) {
    s->id = must(strdup(id));
    ENTER(streams, s);
  }
  return s;
}

stream *stream_make(const char *id, config *c, int worker, const void *for_route) {
  stream *s = stream_bare(id, worker);
  s->config = c;
  s->route = for_route;
  stream_enter(s);
  s->module = hooks.http_filter_new(c->module, s);
  stream_leave(s);
  if (s->module == NULL) {
    breach("http_filter_new returned NULL", id == NULL ? "load" : id);
  }
  return s;
}

void stream_enter(stream *s) { s->depth++; }

static void stream_free(stream *s) {
  free(s->id);
  free(s);
}

void stream_leave(stream *s) {
  lend_release(s, HOOK, s->depth);
  s->depth--;
  if (s->depth == 0 && s->quiet && s->magic == DEAD) {
    stream_free(s);
  }
}

/* What Envoy frees with a stream. The struct itself stays, see above. */
static void stream_empty(stream *s) {
  lend_release(s, HOOK, 0);
  for (int i = 0; i < MAPS; i++) {
    map_clear(&s->maps[i]);
    bytes_free(&s->body[i]);
  }
  entries_free(s);
  while (s->attributes != NULL) {
    attribute *a = s->attributes;
    s->attributes = a->next;
    bytes_free(&a->text);
    free(a);
  }
}

static void mailbox_close(mailbox *m) {
  pthread_mutex_lock(&m->lock);
  m->closed = true;
  bool last = --m->holders == 0;
  pthread_mutex_unlock(&m->lock);
  if (last) {
    free(m);
  }
}

void stream_kill(stream *s) {
  s->magic = DEAD; /* up to 1.39 nothing may be called even from the destroy hook */
  stream_enter(s);
  mailbox_close(s->mailbox);
  s->mailbox = NULL;
  if (s->config != NULL) {
    hooks.http_filter_destroy(s->module);
  }
  stream_empty(s);
  s->gone = true;
  stream_leave(s);
}

/* --- who may call --- */

bool may_call(void *envoy, const char *callback) {
  stream *s = envoy;
  const char *what = NULL;
  if (s == NULL) {
    what = "callback with a NULL stream";
  } else if (s->magic == DEAD) {
    what = "callback for a dead stream";
  } else if (s->magic != LIVE) {
    what = "callback with a pointer that is no stream";
  } else if (s->worker != here) {
    what = "callback on a wrong thread";
  } else if (s->depth == 0) {
    what = "callback outside of a hook";
  }
  if (what != NULL) {
    breach(what, callback);
  }
  return what == NULL && !told_to_fail(callback);
}
