/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause) */
/*
 * The ioctls of /dev/p2pmr: what is behind a range of one's own addresses,
 * which ranges are registered, who takes part, what has happened so far, and
 * what happens from now on.
 *
 * Rules for all of them; docs/abi.md gives the reasons.
 *
 * - Begin with P2PMR_IOC_HELLO on each open file. Before it has succeeded all
 *   other requests answer EPROTO.
 * - The first member of an argument is its size, sizeof(struct ...) as the
 *   caller was compiled. A larger argument than the kernel knows is taken if
 *   the rest is zero (else E2BIG), a smaller one down to that of version 1
 *   (else EINVAL). Elements of arrays have a size of their own, likewise down
 *   to that of version 1; what the kernel does not know in them it clears.
 * - Members marked "out" are written, whatever they held; all others are read.
 *   Reserved members and unknown flags must be zero: EINVAL.
 * - Pointers are 64 bits wide. Arrays and arguments belong to the caller; the
 *   kernel keeps neither.
 * - All requests: EFAULT for an argument or array that cannot be accessed,
 *   ENOTTY for an unknown request, EINTR after a fatal signal, ENOMEM.
 * - Everything is about the process that calls, not the one that opened the
 *   file: its address space, its user id, its capabilities.
 */
#ifndef P2PMR_ABI_H
#define P2PMR_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define P2PMR_DEVICE_PATH "/dev/p2pmr"

/* The version that this header describes. */
#define P2PMR_ABI_VERSION 1

#define P2PMR_NAME_SIZE	       32
#define P2PMR_INSTANCE_SIZE    64 /* of an instance's name */
#define P2PMR_MODULE_NAME_SIZE 64
#define P2PMR_COMMAND_SIZE     16
#define P2PMR_REASON_SIZE      160

#define P2PMR_IOC_TYPE	    0xD5
#define P2PMR_IOC_HELLO	    _IO(P2PMR_IOC_TYPE, 0)
#define P2PMR_IOC_QUERY	    _IO(P2PMR_IOC_TYPE, 1)
#define P2PMR_IOC_LIST	    _IO(P2PMR_IOC_TYPE, 2)
#define P2PMR_IOC_STATS	    _IO(P2PMR_IOC_TYPE, 3)
#define P2PMR_IOC_WATCH	    _IO(P2PMR_IOC_TYPE, 4)
#define P2PMR_IOC_EXPORTERS _IO(P2PMR_IOC_TYPE, 5)
#define P2PMR_IOC_INSTANCES _IO(P2PMR_IOC_TYPE, 6)
#define P2PMR_IOC_BAR	    _IO(P2PMR_IOC_TYPE, 7)
#define P2PMR_IOC_REACH	    _IO(P2PMR_IOC_TYPE, 8)
#define P2PMR_IOC_EXPORT    _IO(P2PMR_IOC_TYPE, 16)

/* -------------------------------------------------------------- HELLO -- */

/* p2pmr_ioc_hello.features: which requests this kernel knows */
#define P2PMR_FEATURE_QUERY	0x1ULL
#define P2PMR_FEATURE_LIST	0x2ULL
#define P2PMR_FEATURE_STATS	0x4ULL
#define P2PMR_FEATURE_WATCH	0x8ULL
#define P2PMR_FEATURE_EXPORTERS 0x10ULL
#define P2PMR_FEATURE_INSTANCES 0x20ULL
#define P2PMR_FEATURE_BAR	0x40ULL
#define P2PMR_FEATURE_REACH	0x80ULL
#define P2PMR_FEATURE_EXPORT	0x10000ULL

/**
 * struct p2pmr_ioc_hello - agree on a version
 * @size: of this struct
 * @flags: 0
 * @version: that the caller wants to speak: P2PMR_ABI_VERSION
 * @version_min: out: lowest that the kernel speaks
 * @version_max: out: highest
 * @reserved: 0
 * @features: out: P2PMR_FEATURE_*
 * @module_version: out: of p2pmr.ko, for people; ends with a zero byte
 *
 * EPROTONOSUPPORT if @version is not between @version_min and @version_max,
 * which are filled in nevertheless. May be repeated; the last that succeeded
 * counts.
 */
struct p2pmr_ioc_hello {
	__u32 size;
	__u32 flags;
	__u32 version;
	__u32 version_min;
	__u32 version_max;
	__u32 reserved;
	__aligned_u64 features;
	char module_version[P2PMR_NAME_SIZE];
};

/* ------------------------------------------------------------ location -- */

/* p2pmr_location.flags: which members say something */
#define P2PMR_LOCATION_EXPORTER 0x1U /* exporter */
#define P2PMR_LOCATION_PCI	0x2U /* domain, bus, devfn */
#define P2PMR_LOCATION_BAR	0x4U /* bar */
#define P2PMR_LOCATION_OFFSET	0x8U /* bar_offset */

/* p2pmr_location.caching: of the user's mapping */
#define P2PMR_CACHING_UNKNOWN	      0
#define P2PMR_CACHING_UNCACHED	      1
#define P2PMR_CACHING_WRITE_COMBINING 2
#define P2PMR_CACHING_WRITE_THROUGH   3
#define P2PMR_CACHING_WRITE_PROTECTED 4
#define P2PMR_CACHING_WRITE_BACK      5

/**
 * struct p2pmr_location - where device memory is
 * @flags: P2PMR_LOCATION_*; what is not flagged is zero
 * @caching: P2PMR_CACHING_*
 * @domain: PCI domain
 * @bus: PCI bus
 * @devfn: PCI device in the upper five bits, function in the lower three
 * @bar: number of the BAR, 0 to 5
 * @bar_offset: in bytes from the beginning of the BAR
 * @exporter: whose memory it is; ends with a zero byte
 */
struct p2pmr_location {
	__u32 flags;
	__u32 caching;
	__u32 domain;
	__u8 bus;
	__u8 devfn;
	__u16 bar;
	__aligned_u64 bar_offset;
	char exporter[P2PMR_NAME_SIZE];
};

/* --------------------------------------------------------------- QUERY -- */

/* p2pmr_query_segment.kind */
#define P2PMR_SEGMENT_HOLE   0 /* nothing is mapped */
#define P2PMR_SEGMENT_HOST   1 /* memory that is pinned page by page */
#define P2PMR_SEGMENT_DEVICE 2 /* a mapping without pages */

/* p2pmr_query_segment.rights: what the mapping allows */
#define P2PMR_RIGHT_READ   0x1U
#define P2PMR_RIGHT_WRITE  0x2U
#define P2PMR_RIGHT_SHARED 0x4U /* writes reach what is mapped */

/**
 * struct p2pmr_query_segment - a part of the range that is alike throughout
 * @offset: in bytes from p2pmr_ioc_query.address
 * @length: in bytes, not 0
 * @kind: P2PMR_SEGMENT_*
 * @rights: P2PMR_RIGHT_*; 0 for a hole
 * @read_error: the errno that registering for reading would give for what the
 *	range has of this mapping, 0 if it would succeed. ENODATA: not to be
 *	known yet, because the driver fills this mapping on first access.
 * @write_error: the same for reading and writing
 * @location: for P2PMR_SEGMENT_DEVICE, as far as it is known
 *
 * Host memory is judged by the rights of its mapping alone.
 */
struct p2pmr_query_segment {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 kind;
	__u32 rights;
	__u32 read_error;
	__u32 write_error;
	struct p2pmr_location location;
};

/**
 * struct p2pmr_ioc_query - what is behind a range of the caller's addresses?
 * @size: of this struct
 * @flags: 0
 * @address: first address, aligned or not
 * @length: in bytes
 * @segments: user pointer to an array of struct p2pmr_query_segment
 * @segment_size: of one element
 * @capacity: number of elements; with 0, @segments is not used
 * @count: out: segments that the range has
 * @read_error: out: the errno that registering all of the range for reading
 *	would give, 0 if it would succeed. Limits of users, importers and their
 *	devices come on top.
 * @write_error: out: the same for reading and writing
 * @reserved: 0
 *
 * Segments follow each other without a gap. ENOSPC if @count is larger than
 * @capacity; then the first @capacity segments are filled in, and all other
 * answers are complete. EINVAL if the range is empty or wraps around.
 *
 * Changes nothing: it pins nothing, brings no page in, and leaves no trace in
 * log or statistics. Each mapping is looked at by itself, so that the answer
 * may mix old and new if another thread changes mappings meanwhile, and it
 * holds no longer than they do.
 */
struct p2pmr_ioc_query {
	__u32 size;
	__u32 flags;
	__aligned_u64 address;
	__aligned_u64 length;
	__aligned_u64 segments;
	__u32 segment_size;
	__u32 capacity;
	__u32 count;
	__u32 read_error;
	__u32 write_error;
	__u32 reserved;
};

/* ---------------------------------------------------------------- LIST -- */

/* p2pmr_ioc_list.flags */
#define P2PMR_LIST_ALL 0x1U /* not only those in P2PMR_STATE_LIVE */

/* p2pmr_list_range.state */
#define P2PMR_STATE_SETUP    0 /* being registered */
#define P2PMR_STATE_LIVE     1 /* reachable */
#define P2PMR_STATE_REVOKING 2 /* being revoked */
#define P2PMR_STATE_REVOKED  3 /* a tombstone, until its owner ends it */

/* p2pmr_list_range.flags */
#define P2PMR_RANGE_WRITE 0x1U /* registered for writing too */

/**
 * struct p2pmr_list_range - a registered range
 * @id: never used twice while the module is loaded
 * @length: in bytes
 * @device_bytes: of them device memory
 * @age_ms: milliseconds since it was registered
 * @pid: process that registered it, 0 if the caller's PID namespace lacks it
 * @uid: user that it counts for, as the caller's user namespace has it
 * @state: P2PMR_STATE_*
 * @flags: P2PMR_RANGE_*
 * @device_segments: contiguous pieces of device memory; 0 unless it is live
 * @reserved: 0
 * @importer: through whom; ends with a zero byte
 * @location: of the first piece of device memory, if it is live
 * @instance: of the importer, such as its RDMA device; ends with a zero byte,
 *	empty if it has none
 * @address: first user address, for the process that registered it and with
 *	CAP_SYS_ADMIN; 0 for others
 *
 * The last two came later than the rest.
 */
struct p2pmr_list_range {
	__aligned_u64 id;
	__aligned_u64 length;
	__aligned_u64 device_bytes;
	__aligned_u64 age_ms;
	__u32 pid;
	__u32 uid;
	__u32 state;
	__u32 flags;
	__u32 device_segments;
	__u32 reserved;
	char importer[P2PMR_NAME_SIZE];
	struct p2pmr_location location;
	char instance[P2PMR_INSTANCE_SIZE];
	__aligned_u64 address;
};

/**
 * struct p2pmr_ioc_list - which ranges are there?
 * @size: of this struct
 * @flags: P2PMR_LIST_*
 * @after: only ranges with a higher id; 0 for all, then the last id received
 * @ranges: user pointer to an array of struct p2pmr_list_range
 * @range_size: of one element
 * @capacity: number of elements; EINVAL if 0
 * @count: out: elements filled in; fewer than @capacity: there are no more
 * @reserved: 0
 *
 * In the order of ids. Those of the caller's real user id, or with
 * CAP_SYS_ADMIN (in the initial user namespace) everybody's.
 */
struct p2pmr_ioc_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 after;
	__aligned_u64 ranges;
	__u32 range_size;
	__u32 capacity;
	__u32 count;
	__u32 reserved;
};

/* --------------------------------------------------------------- STATS -- */

/**
 * struct p2pmr_stat - one counter, of all users since the module was loaded
 * @name: what it counts; ends with a zero byte
 * @value: only ever grows
 */
struct p2pmr_stat {
	char name[P2PMR_NAME_SIZE];
	__aligned_u64 value;
};

/**
 * struct p2pmr_ioc_stats - what has happened?
 * @size: of this struct
 * @flags: 0
 * @stats: user pointer to an array of struct p2pmr_stat
 * @stat_size: of one element
 * @capacity: number of elements; with 0, @stats is not used
 * @count: out: counters that there are
 * @reserved: 0
 *
 * The name says which counter it is; its place is the same from call to call
 * but not from one module to another. ENOSPC as with P2PMR_IOC_QUERY.
 */
struct p2pmr_ioc_stats {
	__u32 size;
	__u32 flags;
	__aligned_u64 stats;
	__u32 stat_size;
	__u32 capacity;
	__u32 count;
	__u32 reserved;
};

/* --------------------------------------------------------------- WATCH -- */

/* p2pmr_event.type */
#define P2PMR_EVENT_REGISTER   1 /* a range is live */
#define P2PMR_EVENT_DEREGISTER 2 /* its owner has ended a live range */
#define P2PMR_EVENT_REVOKE     3 /* something else has: no access any more */
#define P2PMR_EVENT_REFUSE     4 /* a request was refused */
#define P2PMR_EVENT_LOST       5 /* events did not fit into the queue */

/* p2pmr_event.cause: what revoked a range */
#define P2PMR_REVOKED_UNMAP    1 /* the mapping went */
#define P2PMR_REVOKED_PROTECT  2 /* its protection changed */
#define P2PMR_REVOKED_EXIT     3 /* the address space went */
#define P2PMR_REVOKED_DEVICE   4 /* the device was unbound or removed */
#define P2PMR_REVOKED_EXPORTER 5 /* the exporter took the memory back */
#define P2PMR_REVOKED_IMPORTER 6 /* the importer or its device went */

/**
 * struct p2pmr_event - what read() gives
 * @type: P2PMR_EVENT_*; pass over those that you do not know
 * @flags: P2PMR_RANGE_*
 * @time_ns: CLOCK_BOOTTIME
 * @lost: P2PMR_EVENT_LOST: how many events; they were older than what follows
 * @id: of the range, as in p2pmr_list_range; 0 if there is none
 * @address: first user address of the range, for the process that registered
 *	it and with CAP_SYS_ADMIN; 0 for others
 * @length: of the range, in bytes
 * @device_bytes: of them device memory
 * @pid: process that registered the range, or was refused; 0 if the reader's
 *	PID namespace lacks it
 * @uid: user that it counts for, as the reader's user namespace has it
 * @cause: P2PMR_EVENT_REVOKE: P2PMR_REVOKED_*
 * @error: P2PMR_EVENT_REFUSE: errno
 * @command: name of the process, empty if it has gone; ends with a zero byte
 * @importer: through whom; ends with a zero byte
 * @instance: of the importer; ends with a zero byte, empty if it has none
 * @location: of the first piece of device memory of the range
 * @reason: P2PMR_EVENT_REFUSE: why, for people; ends with a zero byte
 *
 * What is not said of an event's type is as the range has it, or zero if there
 * is no range: for P2PMR_EVENT_REFUSE and P2PMR_EVENT_LOST.
 */
struct p2pmr_event {
	__u32 type;
	__u32 flags;
	__aligned_u64 time_ns;
	__aligned_u64 lost;
	__aligned_u64 id;
	__aligned_u64 address;
	__aligned_u64 length;
	__aligned_u64 device_bytes;
	__u32 pid;
	__u32 uid;
	__u32 cause;
	__u32 error;
	char command[P2PMR_COMMAND_SIZE];
	char importer[P2PMR_NAME_SIZE];
	char instance[P2PMR_INSTANCE_SIZE];
	struct p2pmr_location location;
	char reason[P2PMR_REASON_SIZE];
};

/**
 * struct p2pmr_ioc_watch - let this file tell what happens
 * @size: of this struct
 * @flags: 0
 * @event_size: of one struct p2pmr_event
 * @capacity: out: events that the file's queue holds
 *
 * From now on read() on the file gives events, as many whole ones as there are
 * and fit; it waits for the first unless the file has O_NONBLOCK (EAGAIN), and
 * answers EINVAL if not even one fits. poll() says POLLIN. If the queue is full
 * the oldest event goes, and P2PMR_EVENT_LOST comes in its place.
 *
 * Events are about ranges of the caller's real user id, or with CAP_SYS_ADMIN
 * (in the initial user namespace) everybody's. EPERM for a reader who would
 * not have been given these: another user, or one without that capability.
 *
 * May be repeated: empties the queue and begins anew, for who calls then.
 * Before the first, read() answers EINVAL and poll() POLLERR. EDQUOT if too
 * many files of the user watch already, unless it has CAP_SYS_RESOURCE.
 */
struct p2pmr_ioc_watch {
	__u32 size;
	__u32 flags;
	__u32 event_size;
	__u32 capacity;
};

/* ----------------------------------------------------------- EXPORTERS -- */

/* p2pmr_exporter_info.flags */
#define P2PMR_EXPORTER_BUILTIN 0x1U /* takes what no other knows */

/**
 * struct p2pmr_exporter_info - somebody whose mappings can be registered
 * @name: as in p2pmr_location.exporter
 * @module: that it is part of; ends with a zero byte
 * @mappings: parts of ranges that are its memory, of all users; its module stays
 *	while there are any
 * @flags: P2PMR_EXPORTER_*
 * @reserved: 0
 */
struct p2pmr_exporter_info {
	char name[P2PMR_NAME_SIZE];
	char module[P2PMR_MODULE_NAME_SIZE];
	__aligned_u64 mappings;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct p2pmr_ioc_exporters - which exporters are there?
 * @size: of this struct
 * @flags: 0
 * @exporters: user pointer to an array of struct p2pmr_exporter_info
 * @exporter_size: of one element
 * @capacity: number of elements; with 0, @exporters is not used
 * @count: out: exporters that there are
 * @reserved: 0
 *
 * The built-in one first. ENOSPC as with P2PMR_IOC_QUERY.
 */
struct p2pmr_ioc_exporters {
	__u32 size;
	__u32 flags;
	__aligned_u64 exporters;
	__u32 exporter_size;
	__u32 capacity;
	__u32 count;
	__u32 reserved;
};

/* ----------------------------------------------------------- INSTANCES -- */

/**
 * struct p2pmr_instance_info - a device on which one can register
 * @name: such as "rxe0"; ends with a zero byte
 * @importer: as in p2pmr_list_range; ends with a zero byte
 * @ranges: that are live on it, of all users
 */
struct p2pmr_instance_info {
	char name[P2PMR_INSTANCE_SIZE];
	char importer[P2PMR_NAME_SIZE];
	__aligned_u64 ranges;
};

/**
 * struct p2pmr_ioc_instances - which instances do importers have?
 * @size: of this struct
 * @flags: 0
 * @instances: user pointer to an array of struct p2pmr_instance_info
 * @instance_size: of one element
 * @capacity: number of elements; with 0, @instances is not used
 * @count: out: instances that there are
 * @reserved: 0
 *
 * Only those that the caller could use: RDMA devices of its network namespace.
 * ENOSPC as with P2PMR_IOC_QUERY.
 */
struct p2pmr_ioc_instances {
	__u32 size;
	__u32 flags;
	__aligned_u64 instances;
	__u32 instance_size;
	__u32 capacity;
	__u32 count;
	__u32 reserved;
};

/* ----------------------------------------------------------------- BAR -- */

/* p2pmr_ioc_bar.reason */
#define P2PMR_BAR_SERVED       0
#define P2PMR_BAR_EXPORTER_OFF 1 /* parameter builtin_exporter */
#define P2PMR_BAR_REGISTERS    2 /* parameter allow_registers */
#define P2PMR_BAR_ON_REQUEST   3 /* the same, but for P2PMR_REG_REGISTER_BAR */
#define P2PMR_BAR_RULED_OUT    4 /* parameters allow and deny */
#define P2PMR_BAR_NOT_MEMORY   5 /* I/O ports */
#define P2PMR_BAR_NOT_THERE    6 /* the function has no such BAR */
#define P2PMR_BAR_NO_ADDRESS   7 /* it has not been given an address */

/**
 * struct p2pmr_ioc_bar - would the built-in exporter serve a BAR?
 * @size: of this struct
 * @flags: 0
 * @domain: PCI domain
 * @bus: PCI bus
 * @devfn: PCI device in the upper five bits, function in the lower three
 * @bar: number of the BAR, 0 to 5
 * @error: out: the errno that registering a shared stock mapping of it would
 *	give, 0 if it would be served
 * @reason: out: P2PMR_BAR_*
 *
 * For everybody, like sysfs and the module's parameters, which it all comes
 * from. A BAR whose driver has an exporter of its own has that one's policy
 * when it is mapped through that driver. ENODEV: there is no such function.
 * EINVAL: no such number of a BAR.
 */
struct p2pmr_ioc_bar {
	__u32 size;
	__u32 flags;
	__u32 domain;
	__u8 bus;
	__u8 devfn;
	__u16 bar;
	__u32 error;
	__u32 reason;
};

/* --------------------------------------------------------------- REACH -- */

/* p2pmr_ioc_reach.path: the first three are ways */
#define P2PMR_PATH_SWITCH	0 /* below a common switch or bridge */
#define P2PMR_PATH_ROOT		1 /* by a root complex that is known to carry it */
#define P2PMR_PATH_ALLOWED	2 /* parameter allow_pairs */
#define P2PMR_PATH_UNKNOWN_ROOT 3 /* by a root complex that is not known to */
#define P2PMR_PATH_OTHER_ROOT	4 /* from one root complex to another */
#define P2PMR_PATH_DENIED	5 /* parameter deny_pairs */
#define P2PMR_PATH_NOT_PCI	6 /* never in an answer */

/* p2pmr_ioc_reach.properties */
#define P2PMR_REACH_TRANSLATED 0x1U /* an IOMMU translates for the device */
#define P2PMR_REACH_REDIRECTED 0x2U /* ACS sends it by the root complex */
#define P2PMR_REACH_SAME_GROUP 0x4U /* both are in one IOMMU group */

/**
 * struct p2pmr_ioc_reach - does a device reach another one's memory by DMA?
 * @size: of this struct
 * @flags: 0
 * @domain: PCI domain of the function whose memory it is
 * @bus: its bus
 * @devfn: its device in the upper five bits, function in the lower three
 * @reserved: 0
 * @device_domain: PCI domain of the function that does the DMA
 * @device_bus: its bus
 * @device_devfn: its device and function
 * @device_reserved: 0
 * @error: out: the errno that mapping for DMA would give: EXDEV, or 0
 * @path: out: P2PMR_PATH_*
 * @properties: out: P2PMR_REACH_*
 * @links: out: between the two, those into a root complex included
 * @group: out: the former's IOMMU group, -1 if it has none
 * @device_group: out: the latter's
 *
 * For everybody; what the answer comes from, docs/dmabuf.md says. A device
 * without a driver is taken to have its addresses translated if there is an
 * IOMMU for it. ENODEV: there is no such function.
 */
struct p2pmr_ioc_reach {
	__u32 size;
	__u32 flags;
	__u32 domain;
	__u8 bus;
	__u8 devfn;
	__u16 reserved;
	__u32 device_domain;
	__u8 device_bus;
	__u8 device_devfn;
	__u16 device_reserved;
	__u32 error;
	__u32 path;
	__u32 properties;
	__u32 links;
	__s32 group;
	__s32 device_group;
};

/* -------------------------------------------------------------- EXPORT -- */

/* p2pmr_ioc_export.flags */
#define P2PMR_EXPORT_WRITE	  0x1U /* devices may write, not only read */
#define P2PMR_EXPORT_REGISTER_BAR 0x2U /* as P2PMR_REG_REGISTER_BAR */

/**
 * struct p2pmr_ioc_export - make a dma-buf of device memory
 * @size: of this struct
 * @flags: P2PMR_EXPORT_*
 * @address: first address, of a page
 * @length: in bytes, whole pages
 * @fd: out: the dma-buf, closed on exec; -1 after a failure
 * @reserved: 0
 *
 * The dma-buf outlives the mapping that it was made from; docs/dmabuf.md says
 * what ends it. It counts for the caller's limits until it is closed by
 * everybody.
 *
 * EINVAL for a range that is empty, wraps around, or has an incomplete page;
 * EMEDIUMTYPE for host memory; EACCES if the mapping gives less than @flags
 * ask for; EOPNOTSUPP for memory that must not outlive its mapping; EFAULT for
 * a hole; EPERM, ENXIO, ENODEV, E2BIG, EDQUOT, EAGAIN as in docs/kernel.md;
 * EMFILE, ENFILE.
 */
struct p2pmr_ioc_export {
	__u32 size;
	__u32 flags;
	__aligned_u64 address;
	__aligned_u64 length;
	__s32 fd;
	__u32 reserved;
};

#endif /* P2PMR_ABI_H */
