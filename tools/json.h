/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Writes JSON, a document on a line. A value inside an object has a name, one
 * inside an array has none (NULL).
 */
#ifndef P2PMR_TOOL_JSON_H
#define P2PMR_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>

/* A document on standard output, an object that says which command it is of. */
void json_begin(const char *command);
/* Closes it, and ends the line. */
void json_end(void);

void json_object(const char *name);
void json_array(const char *name);
/* Whichever was opened last. */
void json_close(void);

/* NULL becomes null; bytes that are no UTF-8 become U+FFFD. */
void json_string(const char *name, const char *value);
void json_number(const char *name, uint64_t value);
void json_bool(const char *name, bool value);
void json_null(const char *name);

#endif
