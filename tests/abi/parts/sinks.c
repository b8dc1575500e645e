/* SPDX-License-Identifier: Apache-2.0
 *
 * sinks.c: the sinks and their flusher by themselves, driven by test_flusher.py. A command a line;
 * each answers with one line: a number. Time can be moved forward (the linker wraps now_ms), and
 * how often it was read tells whether the flusher sleeps.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"
#include "sink.h"

enum { MOST_SINKS = 128, LONGEST = 1 << 17 };

static sink *sinks[MOST_SINKS];
static _Atomic uint64_t moved_ms;
static _Atomic long clock_reads;

static bool no_events;

uint64_t __real_now_ms(void);
uint64_t __wrap_now_ms(void);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);

uint64_t __wrap_now_ms(void) {
  clock_reads++;
  return __real_now_ms() + moved_ms;
}

int __wrap_eventfd(unsigned value, int flags) {
  return no_events ? -1 : __real_eventfd(value, flags);
}

bool envoy_dynamic_module_callback_is_validation_mode(void) { return false; }

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

/* Carries one command out: what to do, with which sink, and up to two numbers and a text. */
static long obey(const char *what, sink **s, long first, long second, const char *word) {
  if (strcmp(what, "open") == 0) {
    *s = pyfilter_sink_file(word, (size_t)first);
  } else if (strcmp(what, "put") == 0) {
    return put(*s, (unsigned)first, word[0], (size_t)second);
  } else if (strcmp(what, "release") == 0) {
    sink_release(*s);
  } else if (strcmp(what, "dropped") == 0) {
    return (long)sink_take_dropped(*s);
  } else if (strcmp(what, "move") == 0) {
    moved_ms += (uint64_t)first;
  } else if (strcmp(what, "no_events") == 0) {
    no_events = true;
  } else if (strcmp(what, "reads") == 0) {
    return clock_reads;
  } else {
    abort();
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
    printf("%ld\n", obey(what, &sinks[which], first, second, word));
    fflush(stdout);
  }
  sinks_wait_for_end();
  return 0;
}
