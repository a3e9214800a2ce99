// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#include "setting.h"

void setting_open(struct setting *setting, enum memory_kind kind, size_t size)
{
	pair_open(&setting->pair);
	memory_map(&setting->from, HOST, PAGE);
	memory_register(&setting->from, setting->pair.device.pd);
	memory_map(&setting->to, kind, size);
	memory_register(&setting->to, setting->pair.device.pd);
}

void setting_close(struct setting *setting)
{
	memory_release(&setting->from);
	memory_release(&setting->to);
	pair_close(&setting->pair);
}
