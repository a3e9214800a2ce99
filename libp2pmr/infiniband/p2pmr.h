/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * libp2pmr: device memory for verbs programs. Map a PCI BAR, ask what is
 * behind an address, register it for RDMA, copy to and from it.
 *
 * Linking to the library is all it takes to get p2pmr's provider for soft-RoCE
 * devices, if it is installed and fits libibverbs; IBV_DRIVERS and RDMAV_DRIVERS
 * have the last word. Without it the stock provider serves. Who loads the library
 * by dlopen() does so before ibv_get_device_list(), and not beside it.
 *
 * Calls return 0 or a negative errno, or a pointer or NULL with errno. Structs
 * that a caller fills in or gives room for begin with their size, sizeof(struct
 * ...), and grow at the end only; a member that is zero means what was before
 * there was such a member. All calls may be made from several threads, but a
 * handle must not be in use when it is ended. See p2pmr(7) and a manual page for
 * each call.
 */
#ifndef INFINIBAND_P2PMR_H
#define INFINIBAND_P2PMR_H

#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <rdma/p2pmr-abi.h>
#include <rdma/p2pmr-verbs-abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------ versions -- */

#define P2PMR_MAKE_VERSION(major, minor, patch)                 \
	(((uint32_t)(major) << 16) | ((uint32_t)(minor) << 8) | \
	 (uint32_t)(patch))

/* Of this header. */
#define P2PMR_VERSION P2PMR_MAKE_VERSION(0, 1, 0)

/* Of the library that is loaded, comparable with P2PMR_VERSION. */
uint32_t p2pmr_version(void);

/* The same as a string, for people. */
const char *p2pmr_version_string(void);

/* ------------------------------------------------------------- mapping -- */

/* A part of a BAR in the address space of the process. */
struct p2pmr_mapping;

/* p2pmr_map_attr.flags */
#define P2PMR_MAP_READ_ONLY 0x1U

/**
 * struct p2pmr_map_attr - what to map, and how
 * @size: of this struct
 * @flags: P2PMR_MAP_*
 * @offset: of the first byte in the BAR, aligned or not
 * @length: in bytes; 0 for all from @offset on
 * @caching: P2PMR_CACHING_UNCACHED or P2PMR_CACHING_WRITE_COMBINING.
 *	P2PMR_CACHING_UNKNOWN (0) means uncached by address, and by file what
 *	the file gives.
 * @reserved: 0
 */
struct p2pmr_map_attr {
	uint32_t size;
	uint32_t flags;
	uint64_t offset;
	uint64_t length;
	uint32_t caching;
	uint32_t reserved;
};

/*
 * Maps a BAR (0 to 5) of a PCI function by its address, "0000:01:00.0" or
 * "01:00.0": by the file of p2pmr_bar if that driver has bound the function,
 * else through sysfs. attr may be NULL: all of it, uncached, for reading and
 * writing. The address is congruent to the place in the BAR modulo 2 MiB or 1
 * GiB if the length allows, so that registration can use large pages.
 *
 * NULL with errno: EINVAL (an argument), ENODEV (no such function), ENXIO (it
 * has no such memory BAR), ERANGE (beyond its end), EOPNOTSUPP (not with this
 * caching), EBUSY (a driver has claimed the BAR, or it is open with another
 * caching), E2BIG (attr has something this library does not know), or what
 * open() or mmap() said.
 */
struct p2pmr_mapping *p2pmr_map_bar(const char *address, unsigned int bar,
				    const struct p2pmr_map_attr *attr);

/*
 * The same by a file that gives a BAR to mmap(): sysfs resourceN or
 * resourceN_wc, one in /dev/p2pmr_bar, any other whose offsets are those of the
 * memory. If the file does not tell its size, attr must give the length
 * (EINVAL). EOPNOTSUPP also for a BAR of less than a page if the system does not
 * tell where in it it begins.
 */
struct p2pmr_mapping *p2pmr_map_file(const char *path,
				     const struct p2pmr_map_attr *attr);

/*
 * Unmaps and frees. MRs over it are revoked by that. NULL is nothing to do.
 * On failure, which takes a bug in the caller, the handle is left as it is.
 */
int p2pmr_unmap(struct p2pmr_mapping *mapping);

/* The address of the byte at p2pmr_map_attr.offset. */
void *p2pmr_mapping_address(const struct p2pmr_mapping *mapping);

/* In bytes, never 0. */
size_t p2pmr_mapping_length(const struct p2pmr_mapping *mapping);

/*
 * P2PMR_CACHING_*, as the page table has it if /dev/p2pmr can tell (that may be
 * less than was asked for), else as the file was meant.
 */
uint32_t p2pmr_mapping_caching(const struct p2pmr_mapping *mapping);

/* ------------------------------------------------------------- copying -- */

/*
 * Copies between a mapping and host memory, by the means that suit its caching:
 * see p2pmr_copy_to(). 0, ERANGE unless all of it is in the mapping, EACCES for
 * writing to one that is for reading only.
 */
int p2pmr_write(struct p2pmr_mapping *mapping, uint64_t offset,
		const void *source, size_t length);
int p2pmr_read(const struct p2pmr_mapping *mapping, uint64_t offset,
	       void *destination, size_t length);

/*
 * The same for any address, of which the caller knows the caching
 * (P2PMR_CACHING_*; when in doubt P2PMR_CACHING_UNKNOWN). Any alignment, any
 * length; the two must not overlap.
 *
 * Uncached: each byte is touched once, in order, by loads and stores of at most
 * 8 bytes that are aligned in the device. Write-combining: streaming loads and
 * stores, as wide as the CPU has them. Otherwise memcpy(). When
 * p2pmr_copy_to() returns, no byte waits in a buffer of this CPU for others to
 * be combined with; p2pmr_copy_from() sees what this thread has written before.
 */
void p2pmr_copy_to(void *device, const void *source, size_t length,
		   uint32_t caching);
void p2pmr_copy_from(void *destination, const void *device, size_t length,
		     uint32_t caching);

/* -------------------------------------------------------------- asking -- */

/* What /dev/p2pmr has said of a range. */
struct p2pmr_answer;

/*
 * Asks what is behind a range of the caller's addresses; see struct
 * p2pmr_ioc_query. Changes nothing. To be ended by p2pmr_answer_free(). NULL with
 * errno: EINVAL (an empty range, or one that wraps around), ENOENT (the
 * module is not loaded), EPROTONOSUPPORT (it speaks another version), ENOMEM,
 * what open() said.
 */
struct p2pmr_answer *p2pmr_query(const void *address, size_t length);

/* Segments that the range has; at least one. */
size_t p2pmr_answer_count(const struct p2pmr_answer *answer);

/* One of them, while the answer lives; NULL beyond the last. */
const struct p2pmr_query_segment *
p2pmr_answer_segment(const struct p2pmr_answer *answer, size_t index);

/*
 * The negative errno that registering all of the range would give, for reading
 * and writing or for reading only; 0 if it would succeed, as far as known.
 */
int p2pmr_answer_error(const struct p2pmr_answer *answer, int writing);

/* NULL is nothing to do. */
void p2pmr_answer_free(struct p2pmr_answer *answer);

/* -------------------------------------------------------- registration -- */

/* A registered range. */
struct p2pmr_mr;

/**
 * struct p2pmr_reg_attr - what a registration shall be beside its range
 * @size: of this struct
 * @flags: P2PMR_REG_* of <rdma/p2pmr-verbs-abi.h>: P2PMR_REG_REQUIRE_DEVICE,
 *	P2PMR_REG_REGISTER_BAR; P2PMR_REG_EVENTFD makes the descriptor that
 *	p2pmr_mr_fd() returns
 * @iova: address by which the peer names the first byte, if not the byte's own
 * @has_iova: 1 if @iova is given, else 0
 * @reserved: 0
 */
struct p2pmr_reg_attr {
	uint32_t size;
	uint32_t flags;
	uint64_t iova;
	uint32_t has_iova;
	uint32_t reserved;
};

/**
 * struct p2pmr_mr_info - what has been registered
 * @size: of this struct
 * @kind: P2PMR_MR_HOST, _DEVICE or _MIXED; 0 if nobody told
 * @segments: contiguous pieces of it; 0 for host memory and dma-bufs
 * @page_size: in bytes, of the RDMA device's table; 0 for host memory and
 *	dma-bufs
 */
struct p2pmr_mr_info {
	uint32_t size;
	uint32_t kind;
	uint32_t segments;
	uint32_t page_size;
};

/*
 * Registers memory, of a device or of the host. access: IBV_ACCESS_*. attr may
 * be NULL: as ibv_reg_mr(). To be ended by p2pmr_dereg_mr().
 *
 * Device memory on the device of another driver, such as a NIC's, is registered
 * by a dma-buf, if ibv_reg_mr() answers EFAULT or P2PMR_REG_REQUIRE_DEVICE is
 * given. Such an MR outlives the mapping.
 *
 * Flags need p2pmr's provider and a kernel that knows them, or a dma-buf and
 * then no P2PMR_REG_EVENTFD. NULL with errno: EOPNOTSUPP (flags, and neither;
 * the driver takes no dma-bufs, or does not let go of them), EXDEV (the RDMA
 * device does not reach the memory), EPROTONOSUPPORT
 * (flags, and the kernel did not look at them), EMEDIUMTYPE (host memory, and
 * P2PMR_REG_REQUIRE_DEVICE), EPERM (P2PMR_REG_REGISTER_BAR, and the
 * administrator does not allow it), EINVAL, E2BIG (attr), EMFILE, ENFILE (no
 * descriptor left), or what ibv_reg_mr() said.
 */
struct p2pmr_mr *p2pmr_reg_mr(struct ibv_pd *pd, void *address, size_t length,
			      unsigned int access,
			      const struct p2pmr_reg_attr *attr);

/*
 * Deregisters and frees. NULL is nothing to do. If ibv_dereg_mr() fails, its
 * errno, negative, and the handle stays.
 */
int p2pmr_dereg_mr(struct p2pmr_mr *mr);

/* With lkey, rkey and all else for work requests. Not to be deregistered. */
struct ibv_mr *p2pmr_mr_verbs(const struct p2pmr_mr *mr);

/*
 * A descriptor, for poll() and epoll, that becomes readable when the MR is
 * revoked and stays so; it belongs to the MR, and only waiting is to be done
 * with it. ENOENT if it was registered without P2PMR_REG_EVENTFD.
 */
int p2pmr_mr_fd(const struct p2pmr_mr *mr);

/*
 * 1 if the MR has been revoked, 0 if not. ENOENT as p2pmr_mr_fd(); EBADF if
 * somebody has closed the descriptor.
 */
int p2pmr_mr_revoked(const struct p2pmr_mr *mr);

/*
 * Fills in what the caller's struct has room for, by its size; EINVAL if it is
 * smaller than that of version 0.1, E2BIG if it is beyond reason.
 */
int p2pmr_mr_query(const struct p2pmr_mr *mr, struct p2pmr_mr_info *info);

#ifdef __cplusplus
}
#endif

#endif /* INFINIBAND_P2PMR_H */
