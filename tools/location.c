// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Where device memory is, see location.h. */
#include "location.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

void location_address(const struct p2pmr_location *location,
		      char address[PCI_ADDRESS_SIZE])
{
	if (location->flags & P2PMR_LOCATION_PCI)
		snprintf(address, PCI_ADDRESS_SIZE, "%04x:%02x:%02x.%x",
			 location->domain, location->bus, location->devfn >> 3,
			 location->devfn & 7);
	else
		strcpy(address, "-");
}

void json_location(const struct p2pmr_location *location)
{
	char address[PCI_ADDRESS_SIZE];

	location_address(location, address);
	if (location->flags & P2PMR_LOCATION_EXPORTER)
		json_string("exporter", location->exporter);
	if (location->flags & P2PMR_LOCATION_PCI)
		json_string("function", address);
	if (location->flags & P2PMR_LOCATION_BAR)
		json_number("bar", location->bar);
	if (location->flags & P2PMR_LOCATION_OFFSET)
		json_number("offset", location->bar_offset);
}
