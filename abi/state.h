/* SPDX-License-Identifier: Apache-2.0
 *
 * state.h: filter state and metadata from a captured stream.
 */
#ifndef PYFILTER_STATE_H
#define PYFILTER_STATE_H

#include "entry.h"

/* Writes every key of the plan. Returns how many were somebody else's already. */
uint64_t state_write(const entry *e, const plan *p, const host *h);

#endif
