/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What p2pmr doctor finds: a list to which each check adds. */
#ifndef P2PMR_TOOL_DOCTOR_H
#define P2PMR_TOOL_DOCTOR_H

#include <stddef.h>

enum level {
	LEVEL_OK,
	LEVEL_WARN,
	LEVEL_FAIL
};

struct finding {
	const char *check;
	enum level level;
	char *text;
	char *mend; /* a command, for root if it needs that; NULL: none known */
};

struct doctor {
	int fd; /* /dev/p2pmr, or a negative errno */
	struct finding *findings;
	size_t count;
};

/*
 * text and mend are made by text_format(), and freed with the list; mend may be
 * NULL.
 */
void found(struct doctor *doctor, const char *check, enum level level,
	   char *mend, char *text);

void check_modules(struct doctor *doctor);
void check_parameters(struct doctor *doctor);
void check_chardev(struct doctor *doctor);
void check_rdma(struct doctor *doctor);
void check_provider(struct doctor *doctor);
void check_bars(struct doctor *doctor);
void check_reach(struct doctor *doctor);
void check_machine(struct doctor *doctor);

#endif
