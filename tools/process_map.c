// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mappings of another process, see process_map.h. */
#define _GNU_SOURCE
#include "process_map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* One mapping, as the lines of smaps describe it. */
struct mapping {
	unsigned long long start, end, offset;
	char rights[5];
	char *path;
	bool device;
};

/* "start-end rights offset device inode path": false for any other line. */
static bool read_head(const char *line, struct mapping *mapping)
{
	struct mapping head = { 0 };
	int end = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %*s %*u %n", &head.start,
		   &head.end, head.rights, &head.offset, &end) != 4 ||
	    !end)
		return false;
	head.path = line[end] ? text_format("%s", line + end) : NULL;
	*mapping = head;
	return true;
}

static bool has_flag(const char *flags, const char *flag)
{
	for (; (flags = strchr(flags, ' ')); flags++)
		if (!strncmp(flags + 1, flag, 2))
			return true;
	return false;
}

static struct piece *add_piece(struct process_map *map, uint64_t offset,
			       uint64_t length)
{
	struct piece *piece;

	map->pieces =
		must_realloc(map->pieces, map->count + 1, sizeof(*map->pieces));
	piece = &map->pieces[map->count++];
	*piece = (struct piece){ .offset = offset, .length = length };
	return piece;
}

static const struct pci_function *function_of(const struct process_map *map,
					      const char *address)
{
	for (size_t i = 0; i < map->function_count; i++)
		if (!strcmp(map->functions[i].address, address))
			return &map->functions[i];
	return NULL;
}

/*
 * sysfs has each mapping of a BAR begin at the BAR's address, p2pmr_bar at 0.
 * Both paths have the function's address and the number of the BAR.
 */
static void locate(const struct process_map *map, struct piece *piece,
		   uint64_t file_offset)
{
	const char *name = strrchr(piece->path, '/'), *folder;
	char address[PCI_ADDRESS_SIZE] = "";
	bool sysfs = !strncmp(piece->path, "/sys/", 5);
	unsigned int number;

	if (sysfs && sscanf(name, "/resource%u", &number) == 1) {
		folder = memrchr(piece->path, '/', name - piece->path);
		snprintf(address, sizeof(address), "%.*s",
			 (int)(name - folder - 1), folder + 1);
	} else if (sscanf(name, "/%15[^-]-bar%u", address, &number) != 2) {
		return;
	}
	piece->function = function_of(map, address);
	piece->bar = piece->function ? pci_bar(piece->function, number) : NULL;
	if (piece->bar)
		piece->bar_offset =
			file_offset - (sysfs ? piece->bar->start : 0);
	else
		piece->function = NULL;
}

/* /dev/mem: the offset is the address itself. */
static void locate_physical(const struct process_map *map, struct piece *piece,
			    uint64_t physical)
{
	piece->bar = pci_bar_at(map->functions, map->function_count, physical,
				&piece->function);
	if (piece->bar)
		piece->bar_offset = physical - piece->bar->start;
}

/* The part of a mapping that is in the range, and the hole before it. */
static void take(struct process_map *map, const struct mapping *mapping,
		 uint64_t address, uint64_t length)
{
	uint64_t first = address, last = address + length - 1, done = 0;
	struct piece *piece;
	uint64_t into;

	if (mapping->end <= first || mapping->start > last)
		return;
	if (map->count) {
		piece = &map->pieces[map->count - 1];
		done = piece->offset + piece->length;
	}
	if (mapping->start > first)
		first = mapping->start;
	if (mapping->end - 1 < last)
		last = mapping->end - 1;
	if (first - address > done)
		add_piece(map, done, first - address - done);
	piece = add_piece(map, first - address, last - first + 1);
	piece->kind = mapping->device ? PIECE_DEVICE : PIECE_HOST;
	piece->read = mapping->rights[0] == 'r';
	piece->write = mapping->rights[1] == 'w';
	piece->shared = mapping->rights[3] == 's';
	piece->path = mapping->path ? text_format("%s", mapping->path) : NULL;
	into = mapping->offset + (first - mapping->start);
	if (!mapping->device || !piece->path)
		return;
	if (!strcmp(piece->path, "/dev/mem"))
		locate_physical(map, piece, into);
	else if (strchr(piece->path, '/'))
		locate(map, piece, into);
}

static void close_hole(struct process_map *map, uint64_t length)
{
	uint64_t done = 0;

	if (map->count)
		done = map->pieces[map->count - 1].offset +
		       map->pieces[map->count - 1].length;
	if (done < length)
		add_piece(map, done, length - done);
}

static int read_smaps(struct process_map *map, FILE *file, uint64_t address,
		      uint64_t length)
{
	struct mapping mapping = { 0 };
	char *line = NULL;
	size_t size = 0;
	int error;

	errno = 0;
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "VmFlags:", 8)) {
			/* The last line of each mapping. */
			mapping.device =
				has_flag(line, "pf") || has_flag(line, "io");
			take(map, &mapping, address, length);
			free(mapping.path);
			mapping.path = NULL;
		} else if (!mapping.path) {
			read_head(line, &mapping);
		}
	}
	error = ferror(file) ? errno : 0;
	free(mapping.path);
	free(line);
	return -error;
}

int process_map_read(struct process_map *map, pid_t pid, uint64_t address,
		     uint64_t length)
{
	char *path = text_format("/proc/%d/smaps", pid);
	FILE *file = fopen(path, "re");
	int ret = file ? 0 : -errno;

	*map = (struct process_map){ 0 };
	free(path);
	if (!file)
		return ret == -ENOENT ? -ESRCH : ret;
	map->function_count = pci_functions(&map->functions);
	ret = read_smaps(map, file, address, length);
	fclose(file);
	if (ret)
		process_map_free(map);
	else
		close_hole(map, length);
	return ret;
}

void process_map_free(struct process_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		free(map->pieces[i].path);
	free(map->pieces);
	free(map->functions);
	*map = (struct process_map){ 0 };
}
