/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: a range comes, is revoked, goes; a request is refused.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM p2pmr

#if !defined(P2PMR_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define P2PMR_TRACE_H

#include <linux/p2pmr.h>
#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(P2PMR_CAUSE_UNMAP);
TRACE_DEFINE_ENUM(P2PMR_CAUSE_PROTECT);
TRACE_DEFINE_ENUM(P2PMR_CAUSE_EXIT);
TRACE_DEFINE_ENUM(P2PMR_CAUSE_DEVICE);
TRACE_DEFINE_ENUM(P2PMR_CAUSE_EXPORTER);
TRACE_DEFINE_ENUM(P2PMR_CAUSE_IMPORTER);
TRACE_DEFINE_ENUM(P2PMR_CAUSE_RELEASE);

#define show_p2pmr_cause(cause)						\
	__print_symbolic(cause,						\
			 { P2PMR_CAUSE_UNMAP, "unmap" },		\
			 { P2PMR_CAUSE_PROTECT, "protect" },		\
			 { P2PMR_CAUSE_EXIT, "exit" },			\
			 { P2PMR_CAUSE_DEVICE, "device" },		\
			 { P2PMR_CAUSE_EXPORTER, "exporter" },		\
			 { P2PMR_CAUSE_IMPORTER, "importer" },		\
			 { P2PMR_CAUSE_RELEASE, "release" })

DECLARE_EVENT_CLASS(p2pmr_range_event,
	TP_PROTO(const struct p2pmr_range *range),
	TP_ARGS(range),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(unsigned long, start)
		__field(size_t, length)
		__field(u64, device_bytes)
		__field(unsigned int, nr_segs)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->pid = pid_nr(range->pid);
		__entry->start = range->start;
		__entry->length = range->length;
		__entry->device_bytes = range->device_bytes;
		__entry->nr_segs = range->nr_segs;
		__entry->write = range->write;
	),
	TP_printk("pid=%d start=%#lx length=%zu device_bytes=%llu segments=%u write=%d",
		  __entry->pid, __entry->start, __entry->length,
		  __entry->device_bytes, __entry->nr_segs, __entry->write)
);

DEFINE_EVENT(p2pmr_range_event, p2pmr_register,
	TP_PROTO(const struct p2pmr_range *range),
	TP_ARGS(range)
);

DEFINE_EVENT(p2pmr_range_event, p2pmr_deregister,
	TP_PROTO(const struct p2pmr_range *range),
	TP_ARGS(range)
);

TRACE_EVENT(p2pmr_revoke,
	TP_PROTO(const struct p2pmr_range *range),
	TP_ARGS(range),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(unsigned long, start)
		__field(size_t, length)
		__field(int, cause)
	),
	TP_fast_assign(
		__entry->pid = pid_nr(range->pid);
		__entry->start = range->start;
		__entry->length = range->length;
		__entry->cause = range->cause;
	),
	TP_printk("pid=%d start=%#lx length=%zu cause=%s", __entry->pid,
		  __entry->start, __entry->length,
		  show_p2pmr_cause(__entry->cause))
);

#define P2PMR_REASON_LEN 160

TRACE_EVENT(p2pmr_refuse,
	TP_PROTO(pid_t pid, const char *importer, struct va_format *reason),
	TP_ARGS(pid, importer, reason),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__array(char, importer, 32)
		__array(char, reason, P2PMR_REASON_LEN)
	),
	TP_fast_assign(
		__entry->pid = pid;
		strscpy(__entry->importer, importer, sizeof(__entry->importer));
		snprintf(__entry->reason, P2PMR_REASON_LEN, "%pV", reason);
	),
	TP_printk("pid=%d importer=%s reason=%s", __entry->pid,
		  __entry->importer, __entry->reason)
);

#endif /* P2PMR_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
