/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c: the workers, and one more thread that is neither worker nor main.
 *
 * A job runs on one of them while the main thread waits, so a script is deterministic; a load runs
 * on all workers at once.
 */
#include "stub.h"

#include <stdlib.h>

enum { MOST = 17 };

typedef struct thread {
  pthread_t id;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int number;
  void (*job)(void *);
  void *argument;
} thread;

_Thread_local int here = MAIN_THREAD;
static thread threads[MOST]; /* the last one is the other thread */
static unsigned workers;

static void *serve(void *argument) {
  thread *t = argument;
  here = t->number;
  pthread_mutex_lock(&t->lock);
  for (;;) {
    while (t->job == NULL) {
      pthread_cond_wait(&t->changed, &t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    t->job(t->argument);
    pthread_mutex_lock(&t->lock);
    t->job = NULL;
    pthread_cond_broadcast(&t->changed);
  }
  return NULL;
}

static void start(thread *t, int number) {
  t->number = number;
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->changed, NULL);
  if (pthread_create(&t->id, NULL, serve, t) != 0) {
    abort();
  }
}

void threads_start(unsigned count) {
  workers = count < MOST - 1 ? count : MOST - 1;
  for (unsigned i = 0; i < workers; i++) {
    start(&threads[i], (int)i);
  }
  start(&threads[MOST - 1], OTHER_THREAD);
}

static thread *thread_of(int number) {
  return number >= 0 && (unsigned)number < workers ? &threads[number] : &threads[MOST - 1];
}

static void wait_idle(thread *t) {
  pthread_mutex_lock(&t->lock);
  while (t->job != NULL) {
    pthread_cond_wait(&t->changed, &t->lock);
  }
  pthread_mutex_unlock(&t->lock);
}

void threads_begin(int number, void (*job)(void *), void *argument) {
  thread *t = thread_of(number);
  wait_idle(t);
  pthread_mutex_lock(&t->lock);
  t->argument = argument;
  t->job = job;
  pthread_cond_broadcast(&t->changed);
  pthread_mutex_unlock(&t->lock);
}

void threads_run(int number, void (*job)(void *), void *argument) {
  if (number == here) {
    job(argument);
  } else {
    threads_begin(number, job, argument);
    wait_idle(thread_of(number));
  }
}

void threads_join(void) {
  for (unsigned i = 0; i < workers; i++) {
    wait_idle(&threads[i]);
  }
}
