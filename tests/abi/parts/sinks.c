/* SPDX-License-Identifier: Apache-2.0
 *
 * sinks.c: the sinks and their flusher by themselves, driven by test_flusher.py and test_agent.py. A
 * command a line; each answers with one line: a number. Commands about the clock and the kernel are
 * in kernel.h.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "host.h"
#include "kernel.h"
#include "left.h"
#include "sink.h"

enum { MOST_SINKS = 128, LONGEST = 1 << 18, PRODUCERS = 4 };

static sink *sinks[MOST_SINKS];
static queue_limits limits[MOST_SINKS]; /* of agents' sockets */
static _Atomic long refused; /* by the rings, of what was loaded */
static _Atomic long taken;   /* lines, by the threads of Python's sinks */
static pthread_t producers[PRODUCERS];
static long first_number; /* of the load that runs; they go on from load to load */
static long end_number;
static useconds_t pause_us; /* after each entry of a load */
static size_t queue_entries = 8192;
static size_t queue_bytes = 8 << 20;
static bool validating;

bool envoy_dynamic_module_callback_is_validation_mode(void) { return validating; }

void host_log(envoy_dynamic_module_type_log_level level, const char *format, ...) {
  va_list arguments;
  (void)level;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

/* Puts a line of that many bytes, its newline included, all of one letter. */
static long put(sink *s, unsigned slot, char letter, size_t length) {
  static char line[LONGEST];
  memset(line, letter, length);
  line[length - 1] = '\n';
  return (long)sink_put(s, slot, (slice){line, length});
}

/* Puts a packet of that many bytes: the text, and dots. */
static long put_packet(sink *s, unsigned slot, const char *start, size_t length) {
  static char bytes[LONGEST];
  memset(bytes, '.', length);
  memcpy(bytes, start, strlen(start));
  return (long)sink_put(s, slot, (slice){bytes, length});
}

/* Takes what a Python thread would. */
static void *take_lines(void *one) {
  static char lines[1 << 20];
  int64_t size;
  while ((size = pyfilter_sink_take(one, lines, sizeof lines, -1)) >= 0) {
    for (int64_t i = 0; i < size; i++) {
      taken += lines[i] == '\n';
    }
  }
  pyfilter_sink_done(one);
  return NULL;
}

static sink *open_python(size_t ring_bytes) {
  pthread_t thread;
  sink *s = pyfilter_sink_python("python", ring_bytes);
  pthread_create(&thread, NULL, take_lines, s);
  pthread_detach(thread);
  return s;
}

/* One worker of a load: entry after entry into every sink. */
static void *produce(void *number) {
  unsigned slot = (unsigned)(size_t)number;
  char entry[300];
  for (long i = first_number; i < end_number; i++) {
    int length = snprintf(entry, sizeof entry, "%u %ld %*s\n", slot, i, (int)(i % 200), "");
    for (sink **s = sinks; s < sinks + MOST_SINKS; s++) {
      refused += *s != NULL && sink_put(*s, slot, (slice){entry, (size_t)length}) != SINK_TOOK;
    }
    if (pause_us > 0) {
      usleep(pause_us);
    }
  }
  return NULL;
}

static void load(long count, long pause) {
  first_number = end_number;
  end_number += count;
  pause_us = (useconds_t)pause;
  for (size_t i = 0; i < PRODUCERS; i++) {
    pthread_create(&producers[i], NULL, produce, (void *)i);
  }
}

static long join(void) {
  for (size_t i = 0; i < PRODUCERS; i++) {
    pthread_join(producers[i], NULL);
  }
  return refused;
}

static const struct {
  const char *name;
  int which;
} COUNTS[] = {{"dropped", COUNT_DROPPED_SINK},         {"errors", COUNT_SINK_ERRORS},
              {"overflowed", COUNT_DROPPED_QUEUE_FULL}, {"too_large", COUNT_DROPPED_TOO_LARGE},
              {"sent", COUNT_CILIUM_SENT},             {"reconnects", COUNT_CILIUM_RECONNECTS}};

/* What sinks that are gone have left of one count, since it was asked for last. */
static uint64_t take_left(int which) {
  static uint64_t kept[COUNT_KINDS];
  uint64_t counts[COUNT_KINDS];
  if (left_take(SLICE("parts"), counts)) {
    for (int i = 0; i < COUNT_KINDS; i++) {
      kept[i] += counts[i];
    }
  }
  uint64_t n = kept[which];
  kept[which] = 0;
  return n;
}

/* What was counted since it was asked for last, and left behind where the sink is gone; -1: that is
 * no count. */
static long take_count(const char *what, sink *s) {
  for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
    if (strcmp(what, COUNTS[i].name) == 0) {
      return (long)(s == NULL ? take_left(COUNTS[i].which) : sink_take_count(s, COUNTS[i].which));
    }
  }
  return -1;
}

static long open_agent(sink **s, const char *path, size_t ring_bytes, bool drop_oldest) {
  *s = pyfilter_sink_agent(path, ring_bytes);
  if (*s == NULL) {
    return 1;
  }
  queue_limits *own = &limits[s - sinks];
  *own = (queue_limits){
      .entries = queue_entries, .bytes = queue_bytes, .drop_oldest = drop_oldest};
  agent_begin_limits(*s, own);
  return 0;
}

static void release(sink **s) {
  if (limits[s - sinks].entries > 0) {
    agent_end_limits(*s, &limits[s - sinks]);
    limits[s - sinks].entries = 0;
  }
  sink_release(*s, SLICE("parts"));
  *s = NULL;
}

/* The commands about the agent's socket and loads. */
static long obey_agent(const char *what, sink **s, long first, long second, const char *word) {
  if (strcmp(what, "limits") == 0) {
    queue_entries = (size_t)first;
    queue_bytes = (size_t)second;
  } else if (strcmp(what, "agent") == 0) {
    return open_agent(s, word, (size_t)first, second != 0);
  } else if (strcmp(what, "validate") == 0) {
    validating = true;
  } else if (strcmp(what, "packet") == 0) {
    return put_packet(*s, (unsigned)first, word, (size_t)second);
  } else if (strcmp(what, "python") == 0) {
    *s = open_python((size_t)first);
  } else if (strcmp(what, "load") == 0) {
    load(first, second);
  } else if (strcmp(what, "join") == 0) {
    return join();
  } else if (strcmp(what, "taken") == 0) {
    return taken;
  } else if (strcmp(what, "waits") == 0) {
    return sink_has_bytes(*s);
  } else if (strcmp(what, "connected") == 0) {
    return (long)sink_level(*s, GAUGE_CILIUM_CONNECTED);
  } else if (strcmp(what, "queued") == 0) {
    return (long)sink_level(*s, GAUGE_CILIUM_QUEUE_DEPTH);
  } else {
    long count = take_count(what, *s);
    if (count < 0) {
      abort();
    }
    return count;
  }
  return 0;
}

/* Carries one command out: what to do, with which sink, and up to two numbers and a text. */
static long obey(const char *what, sink **s, long first, long second, const char *word) {
  if (strcmp(what, "open") == 0) {
    *s = pyfilter_sink_file(word, (size_t)first);
  } else if (strcmp(what, "put") == 0) {
    return put(*s, (unsigned)first, word[0], (size_t)second);
  } else if (strcmp(what, "release") == 0) {
    release(s);
  } else {
    return obey_agent(what, s, first, second, word);
  }
  return 0;
}

int main(void) {
  char line[512];
  char what[16];
  char word[400];
  int which;
  long first;
  long second;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "%15s %d %ld %ld %399s", what, &which, &first, &second, word) != 5) {
      abort();
    }
    long answer = kernel_obey(what, first);
    printf("%ld\n", answer >= 0 ? answer : obey(what, &sinks[which], first, second, word));
    fflush(stdout);
  }
  sinks_wait_for_end();
  return 0;
}
