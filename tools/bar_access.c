// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Who may map a BAR, by the rights of the file that gives it; see pci.h. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pci.h"
#include "text.h"

static bool take(struct bar_access *access_)
{
	struct stat st;

	if (stat(access_->path, &st))
		return false;
	access_->uid = st.st_uid;
	access_->gid = st.st_gid;
	access_->mode = st.st_mode & 0777;
	access_->mine = !access(access_->path, R_OK | W_OK);
	return true;
}

void bar_access_look(struct bar_access *access,
		     const struct pci_function *function,
		     const struct pci_bar *bar)
{
	*access = (struct bar_access){ 0 };
	snprintf(access->path, sizeof(access->path), "/dev/p2pmr_bar/%s-bar%u",
		 function->address, bar->number);
	if (take(access))
		return;
	snprintf(access->path, sizeof(access->path),
		 "/sys/bus/pci/devices/%s/resource%u", function->address,
		 bar->number);
	if (bar->claimed || !take(access))
		access->path[0] = '\0';
}

static char *user_name(uid_t uid)
{
	const struct passwd *entry = getpwuid(uid);

	return entry ? text_format("%s", entry->pw_name)
		     : text_format("%u", uid);
}

static char *group_name(gid_t gid)
{
	const struct group *entry = getgrgid(gid);

	return entry ? text_format("%s", entry->gr_name)
		     : text_format("%u", gid);
}

char *bar_access_text(const struct bar_access *access)
{
	char *user, *group, *text;

	if (!*access->path)
		return text_format("nobody");
	if ((access->mode & 06) == 06)
		return text_format("everybody");
	user = user_name(access->uid);
	if ((access->mode & 060) != 060)
		return user;
	group = group_name(access->gid);
	text = text_format("%s, group %s", user, group);
	free(user);
	free(group);
	return text;
}
