/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The layout of version 1 of the ABI, which later versions only append to.
 * Included after the ABI's header, in C and in C++, and checked by both.
 */
#ifndef P2PMR_TESTS_ABI_H
#define P2PMR_TESTS_ABI_H

#include <stddef.h>

#ifdef __cplusplus
#define CHECK(condition_) static_assert(condition_, #condition_)
#else
#define CHECK(condition_) _Static_assert(condition_, #condition_)
#endif

#define SIZE(type_, size_) CHECK(sizeof(struct type_) == (size_))
#define AT(type_, member_, offset_) \
	CHECK(offsetof(struct type_, member_) == (offset_))

SIZE(p2pmr_ioc_hello, 64);
AT(p2pmr_ioc_hello, size, 0);
AT(p2pmr_ioc_hello, flags, 4);
AT(p2pmr_ioc_hello, version, 8);
AT(p2pmr_ioc_hello, version_min, 12);
AT(p2pmr_ioc_hello, version_max, 16);
AT(p2pmr_ioc_hello, reserved, 20);
AT(p2pmr_ioc_hello, features, 24);
AT(p2pmr_ioc_hello, module_version, 32);

SIZE(p2pmr_location, 56);
AT(p2pmr_location, flags, 0);
AT(p2pmr_location, caching, 4);
AT(p2pmr_location, domain, 8);
AT(p2pmr_location, bus, 12);
AT(p2pmr_location, devfn, 13);
AT(p2pmr_location, bar, 14);
AT(p2pmr_location, bar_offset, 16);
AT(p2pmr_location, exporter, 24);

SIZE(p2pmr_query_segment, 88);
AT(p2pmr_query_segment, offset, 0);
AT(p2pmr_query_segment, length, 8);
AT(p2pmr_query_segment, kind, 16);
AT(p2pmr_query_segment, rights, 20);
AT(p2pmr_query_segment, read_error, 24);
AT(p2pmr_query_segment, write_error, 28);
AT(p2pmr_query_segment, location, 32);

SIZE(p2pmr_ioc_query, 56);
AT(p2pmr_ioc_query, size, 0);
AT(p2pmr_ioc_query, flags, 4);
AT(p2pmr_ioc_query, address, 8);
AT(p2pmr_ioc_query, length, 16);
AT(p2pmr_ioc_query, segments, 24);
AT(p2pmr_ioc_query, segment_size, 32);
AT(p2pmr_ioc_query, capacity, 36);
AT(p2pmr_ioc_query, count, 40);
AT(p2pmr_ioc_query, read_error, 44);
AT(p2pmr_ioc_query, write_error, 48);
AT(p2pmr_ioc_query, reserved, 52);

SIZE(p2pmr_list_range, 216);
AT(p2pmr_list_range, id, 0);
AT(p2pmr_list_range, length, 8);
AT(p2pmr_list_range, device_bytes, 16);
AT(p2pmr_list_range, age_ms, 24);
AT(p2pmr_list_range, pid, 32);
AT(p2pmr_list_range, uid, 36);
AT(p2pmr_list_range, state, 40);
AT(p2pmr_list_range, flags, 44);
AT(p2pmr_list_range, device_segments, 48);
AT(p2pmr_list_range, reserved, 52);
AT(p2pmr_list_range, importer, 56);
AT(p2pmr_list_range, location, 88);
AT(p2pmr_list_range, instance, 144);
AT(p2pmr_list_range, address, 208);

SIZE(p2pmr_ioc_list, 40);
AT(p2pmr_ioc_list, size, 0);
AT(p2pmr_ioc_list, flags, 4);
AT(p2pmr_ioc_list, after, 8);
AT(p2pmr_ioc_list, ranges, 16);
AT(p2pmr_ioc_list, range_size, 24);
AT(p2pmr_ioc_list, capacity, 28);
AT(p2pmr_ioc_list, count, 32);
AT(p2pmr_ioc_list, reserved, 36);

SIZE(p2pmr_stat, 40);
AT(p2pmr_stat, name, 0);
AT(p2pmr_stat, value, 32);

SIZE(p2pmr_ioc_stats, 32);
AT(p2pmr_ioc_stats, size, 0);
AT(p2pmr_ioc_stats, flags, 4);
AT(p2pmr_ioc_stats, stats, 8);
AT(p2pmr_ioc_stats, stat_size, 16);
AT(p2pmr_ioc_stats, capacity, 20);
AT(p2pmr_ioc_stats, count, 24);
AT(p2pmr_ioc_stats, reserved, 28);

SIZE(p2pmr_event, 400);
AT(p2pmr_event, type, 0);
AT(p2pmr_event, flags, 4);
AT(p2pmr_event, time_ns, 8);
AT(p2pmr_event, lost, 16);
AT(p2pmr_event, id, 24);
AT(p2pmr_event, address, 32);
AT(p2pmr_event, length, 40);
AT(p2pmr_event, device_bytes, 48);
AT(p2pmr_event, pid, 56);
AT(p2pmr_event, uid, 60);
AT(p2pmr_event, cause, 64);
AT(p2pmr_event, error, 68);
AT(p2pmr_event, command, 72);
AT(p2pmr_event, importer, 88);
AT(p2pmr_event, instance, 120);
AT(p2pmr_event, location, 184);
AT(p2pmr_event, reason, 240);

SIZE(p2pmr_ioc_watch, 16);
AT(p2pmr_ioc_watch, size, 0);
AT(p2pmr_ioc_watch, flags, 4);
AT(p2pmr_ioc_watch, event_size, 8);
AT(p2pmr_ioc_watch, capacity, 12);

SIZE(p2pmr_exporter_info, 112);
AT(p2pmr_exporter_info, name, 0);
AT(p2pmr_exporter_info, module, 32);
AT(p2pmr_exporter_info, mappings, 96);
AT(p2pmr_exporter_info, flags, 104);
AT(p2pmr_exporter_info, reserved, 108);

SIZE(p2pmr_ioc_exporters, 32);
AT(p2pmr_ioc_exporters, size, 0);
AT(p2pmr_ioc_exporters, flags, 4);
AT(p2pmr_ioc_exporters, exporters, 8);
AT(p2pmr_ioc_exporters, exporter_size, 16);
AT(p2pmr_ioc_exporters, capacity, 20);
AT(p2pmr_ioc_exporters, count, 24);
AT(p2pmr_ioc_exporters, reserved, 28);

SIZE(p2pmr_instance_info, 104);
AT(p2pmr_instance_info, name, 0);
AT(p2pmr_instance_info, importer, 64);
AT(p2pmr_instance_info, ranges, 96);

SIZE(p2pmr_ioc_instances, 32);
AT(p2pmr_ioc_instances, size, 0);
AT(p2pmr_ioc_instances, flags, 4);
AT(p2pmr_ioc_instances, instances, 8);
AT(p2pmr_ioc_instances, instance_size, 16);
AT(p2pmr_ioc_instances, capacity, 20);
AT(p2pmr_ioc_instances, count, 24);
AT(p2pmr_ioc_instances, reserved, 28);

SIZE(p2pmr_ioc_bar, 24);
AT(p2pmr_ioc_bar, size, 0);
AT(p2pmr_ioc_bar, flags, 4);
AT(p2pmr_ioc_bar, domain, 8);
AT(p2pmr_ioc_bar, bus, 12);
AT(p2pmr_ioc_bar, devfn, 13);
AT(p2pmr_ioc_bar, bar, 14);
AT(p2pmr_ioc_bar, error, 16);
AT(p2pmr_ioc_bar, reason, 20);

SIZE(p2pmr_ioc_reach, 48);
AT(p2pmr_ioc_reach, size, 0);
AT(p2pmr_ioc_reach, flags, 4);
AT(p2pmr_ioc_reach, domain, 8);
AT(p2pmr_ioc_reach, bus, 12);
AT(p2pmr_ioc_reach, devfn, 13);
AT(p2pmr_ioc_reach, reserved, 14);
AT(p2pmr_ioc_reach, device_domain, 16);
AT(p2pmr_ioc_reach, device_bus, 20);
AT(p2pmr_ioc_reach, device_devfn, 21);
AT(p2pmr_ioc_reach, device_reserved, 22);
AT(p2pmr_ioc_reach, error, 24);
AT(p2pmr_ioc_reach, path, 28);
AT(p2pmr_ioc_reach, properties, 32);
AT(p2pmr_ioc_reach, links, 36);
AT(p2pmr_ioc_reach, group, 40);
AT(p2pmr_ioc_reach, device_group, 44);

SIZE(p2pmr_ioc_export, 32);
AT(p2pmr_ioc_export, size, 0);
AT(p2pmr_ioc_export, flags, 4);
AT(p2pmr_ioc_export, address, 8);
AT(p2pmr_ioc_export, length, 16);
AT(p2pmr_ioc_export, fd, 24);
AT(p2pmr_ioc_export, reserved, 28);

/* Requests carry no size, so they are the same for a caller of 32 bits. */
CHECK(P2PMR_IOC_HELLO == 0xd500);
CHECK(P2PMR_IOC_QUERY == 0xd501);
CHECK(P2PMR_IOC_LIST == 0xd502);
CHECK(P2PMR_IOC_STATS == 0xd503);
CHECK(P2PMR_IOC_WATCH == 0xd504);
CHECK(P2PMR_IOC_EXPORTERS == 0xd505);
CHECK(P2PMR_IOC_INSTANCES == 0xd506);
CHECK(P2PMR_IOC_BAR == 0xd507);
CHECK(P2PMR_IOC_REACH == 0xd508);
CHECK(P2PMR_IOC_EXPORT == 0xd510);
CHECK(P2PMR_ABI_VERSION == 1);
CHECK(P2PMR_NAME_SIZE == 32);
CHECK(P2PMR_INSTANCE_SIZE == 64);
CHECK(P2PMR_MODULE_NAME_SIZE == 64);
CHECK(P2PMR_COMMAND_SIZE == 16);
CHECK(P2PMR_REASON_SIZE == 160);

#ifdef __cplusplus
extern "C" {
#endif

/* What is only known when it runs: the same handshake, by either language. */
int hello_c(int fd, struct p2pmr_ioc_hello *hello);
int hello_cxx(int fd, struct p2pmr_ioc_hello *hello);

#ifdef __cplusplus
}
#endif

#endif
