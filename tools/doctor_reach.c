// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr doctor: which NIC reaches which BAR by DMA? */
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "policy.h"
#include "reach.h"
#include "text.h"

/* One that somebody may map and p2pmr takes. */
static bool has_memory(const struct doctor *doctor,
		       const struct pci_function *function)
{
	struct bar_access access;

	for (size_t i = 0; i < function->bar_count; i++) {
		bar_access_look(&access, function, &function->bars[i]);
		if (*access.path &&
		    !strcmp(policy_ask(doctor->fd, function, &function->bars[i])
				    .serves,
			    "yes"))
			return true;
	}
	return false;
}

static const char *by_acs(const struct reach *reach)
{
	return reach->answer.properties & P2PMR_REACH_REDIRECTED
		       ? "; ACS sends it by the root complex"
		       : "";
}

static void check_pair(struct doctor *doctor, const struct nic *nic,
		       const struct pci_function *function)
{
	struct reach reach = reach_ask(doctor->fd, nic, function);

	if (!reach.known)
		return;
	if (reach.reaches)
		found(doctor, "reach", LEVEL_OK, NULL,
		      text_format("%s reaches the memory of %s", nic->name,
				  function->address));
	else
		found(doctor, "reach", LEVEL_WARN, NULL,
		      text_format("%s (%s) does not reach the memory of %s: "
				  "%s%s",
				  nic->name, nic->function, function->address,
				  reach.reason, by_acs(&reach)));
}

void check_reach(struct doctor *doctor)
{
	struct pci_function *functions;
	struct nic *list;
	size_t nic_count = nics(&list), count = pci_functions(&functions);

	for (size_t i = 0; i < count && nic_count && doctor->fd >= 0; i++)
		for (size_t k = 0;
		     k < nic_count && has_memory(doctor, &functions[i]); k++)
			check_pair(doctor, &list[k], &functions[i]);
	free(functions);
	free(list);
}
