/* SPDX-License-Identifier: Apache-2.0
 *
 * decimal.h: numbers as JSON and headers write them.
 */
#ifndef PYFILTER_DECIMAL_H
#define PYFILTER_DECIMAL_H

#include "text.h"

/* Up to here a double tells each whole number from the next one. */
#define LARGEST_WHOLE UINT64_C(9007199254740992)

/* The whole number next to a decimal one, a half goes up: false when it is none, has a minus sign or
 * is more than LARGEST_WHOLE. */
bool decimal_whole(slice s, uint64_t *number);

#endif
