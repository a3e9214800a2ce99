// SPDX-License-Identifier: GPL-2.0
/*
 * How much device memory a user may have registered. Counted per real user id
 * over all importers and processes; host memory is counted by RLIMIT_MEMLOCK.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "core.h"

/*
 * What one user may make the kernel hold by default: about a thirtieth of the
 * memory for ranges, at some 2 KiB for each contiguous piece of device memory with
 * what importers add, and as much for what grows with the length: 16 bytes a page in
 * an importer's table (soft-RoCE of 6.12 and later) and 8 in the page tables of the
 * kernel's own mapping, where no huge page fits.
 */
#define DEFAULT_SHARE 32
#define PIECE_COST SZ_2K
#define PAGE_COST 24

static unsigned int user_max_ranges = UINT_MAX;
module_param(user_max_ranges, uint, 0644);
MODULE_PARM_DESC(user_max_ranges,
		 "Ranges with device memory that one user may hold, one in several pieces counting for each; 0: no limit (default: by the size of the memory)");

static unsigned long user_max_mib = ULONG_MAX;
module_param(user_max_mib, ulong, 0644);
MODULE_PARM_DESC(user_max_mib,
		 "MiB of device memory that one user may hold; 0: no limit (default: five times the memory)");

void p2pmr_account_init(void)
{
	u64 share = ((u64)totalram_pages() << PAGE_SHIFT) / DEFAULT_SHARE;

	if (user_max_ranges == UINT_MAX)
		user_max_ranges = min_t(u64, share / PIECE_COST, INT_MAX);
	if (user_max_mib == ULONG_MAX)
		user_max_mib = share / PAGE_COST * PAGE_SIZE / SZ_1M;
}

/* What one user holds; exists while it holds anything. */
struct p2pmr_account {
	kuid_t uid;
	u64 pieces;
	u64 bytes;
	struct hlist_node link;
};

static DEFINE_HASHTABLE(accounts, 6);
static DEFINE_SPINLOCK(accounts_lock);

static struct p2pmr_account *find(kuid_t uid)
{
	struct p2pmr_account *account;

	lockdep_assert_held(&accounts_lock);
	hash_for_each_possible(accounts, account, link, __kuid_val(uid))
		if (uid_eq(account->uid, uid))
			return account;
	return NULL;
}

/* Drops the lock for a moment if there is none yet. NULL: no memory. */
static struct p2pmr_account *find_or_make(kuid_t uid)
	__must_hold(&accounts_lock)
{
	struct p2pmr_account *account = find(uid), *fresh;

	if (account)
		return account;
	spin_unlock(&accounts_lock);
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
	spin_lock(&accounts_lock);
	account = find(uid);
	if (account || !fresh) {
		kfree(fresh);
		return account;
	}
	fresh->uid = uid;
	hash_add(accounts, &fresh->link, __kuid_val(uid));
	return fresh;
}

static void free_if_empty(struct p2pmr_account *account)
{
	lockdep_assert_held(&accounts_lock);
	if (account->pieces)
		return;
	hash_del(&account->link);
	kfree(account);
}

static int check_limits(const struct p2pmr_account *account, u64 pieces,
			u64 bytes)
{
	unsigned long max_mib = READ_ONCE(user_max_mib);
	unsigned int max_ranges = READ_ONCE(user_max_ranges);

	if (max_ranges && account->pieces + pieces > max_ranges)
		return -EDQUOT;
	if (max_mib && DIV_ROUND_UP_ULL(account->bytes + bytes, SZ_1M) > max_mib)
		return -EDQUOT;
	return 0;
}

static int add(struct p2pmr_range *range, kuid_t uid, unsigned int pieces,
	       u64 bytes, bool limited)
{
	struct p2pmr_account *account;
	int ret = -ENOMEM;

	spin_lock(&accounts_lock);
	account = find_or_make(uid);
	if (account) {
		ret = limited ? check_limits(account, pieces, bytes) : 0;
		if (!ret) {
			account->pieces += pieces;
			account->bytes += bytes;
			range->charged += pieces;
			range->account = account;
		}
		free_if_empty(account);
	}
	spin_unlock(&accounts_lock);
	return ret;
}

/**
 * p2pmr_charge() - count a range for the current user
 * @range: the bytes of its device memory are known
 * @pieces: in how many contiguous pieces they are, as far as is known; counts as
 *	one at least, and may be called again with more
 *
 * Return: 0, -EDQUOT (the limit is reached) or -ENOMEM.
 */
int p2pmr_charge(struct p2pmr_range *range, unsigned int pieces)
{
	kuid_t uid = range->account ? range->account->uid : current_uid();
	u64 bytes = range->account ? 0 : range->device_bytes;
	int ret;

	pieces = max(pieces, 1U) - range->charged;
	if (!pieces)
		return 0;
	ret = add(range, uid, pieces, bytes, true);
	/* Few come so far that it matters who they are. */
	if (ret == -EDQUOT && capable(CAP_SYS_RESOURCE))
		ret = add(range, uid, pieces, bytes, false);
	if (ret == -EDQUOT)
		p2pmr_refuse(range->ops, ret,
			     "user %u is at its limit, parameters user_max_ranges and user_max_mib",
			     from_kuid_munged(current_user_ns(), uid));
	return ret;
}

/* Whom @range is counted for. The caller keeps it in the list of ranges. */
kuid_t p2pmr_range_uid(const struct p2pmr_range *range)
{
	return range->account->uid;
}

void p2pmr_uncharge(struct p2pmr_range *range)
{
	struct p2pmr_account *account = range->account;

	if (!account)
		return;
	range->account = NULL;
	spin_lock(&accounts_lock);
	account->pieces -= range->charged;
	account->bytes -= range->device_bytes;
	free_if_empty(account);
	spin_unlock(&accounts_lock);
}
