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
 * memory for ranges, at some 2 KiB each with what importers add, and as much for
 * an importer's tables, at up to 16 bytes a page (soft-RoCE of 6.12 and later).
 */
#define DEFAULT_SHARE 32
#define RANGE_COST SZ_2K
#define PAGE_COST 16

static unsigned int user_max_ranges = UINT_MAX;
module_param(user_max_ranges, uint, 0644);
MODULE_PARM_DESC(user_max_ranges,
		 "Ranges with device memory that one user may hold; 0: no limit (default: by the size of the memory)");

static unsigned long user_max_mib = ULONG_MAX;
module_param(user_max_mib, ulong, 0644);
MODULE_PARM_DESC(user_max_mib,
		 "MiB of device memory that one user may hold; 0: no limit (default: eight times the memory)");

void p2pmr_account_init(void)
{
	u64 share = ((u64)totalram_pages() << PAGE_SHIFT) / DEFAULT_SHARE;

	if (user_max_ranges == UINT_MAX)
		user_max_ranges = min_t(u64, share / RANGE_COST, INT_MAX);
	if (user_max_mib == ULONG_MAX)
		user_max_mib = share / PAGE_COST * PAGE_SIZE / SZ_1M;
}

/* What one user holds; exists while it holds anything. */
struct p2pmr_account {
	kuid_t uid;
	u64 ranges;
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

static int check_limits(const struct p2pmr_account *account, u64 bytes)
{
	unsigned long max_mib = READ_ONCE(user_max_mib);
	unsigned int max_ranges = READ_ONCE(user_max_ranges);

	if (max_ranges && account->ranges >= max_ranges)
		return -EDQUOT;
	if (max_mib && DIV_ROUND_UP_ULL(account->bytes + bytes, SZ_1M) > max_mib)
		return -EDQUOT;
	return 0;
}

/* Count @range for the current user, whose account is made if need be. */
int p2pmr_charge(struct p2pmr_range *range)
{
	struct p2pmr_account *fresh = NULL, *account;
	kuid_t uid = current_uid();
	int ret;

	spin_lock(&accounts_lock);
	account = find(uid);
	if (!account) {
		spin_unlock(&accounts_lock);
		fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return -ENOMEM;
		fresh->uid = uid;
		spin_lock(&accounts_lock);
		account = find(uid);
		if (!account) {
			account = fresh;
			fresh = NULL;
			hash_add(accounts, &account->link, __kuid_val(uid));
		}
	}
	ret = check_limits(account, range->device_bytes);
	/* Few come so far that it matters who they are. */
	if (ret && ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE))
		ret = 0;
	if (!ret) {
		account->ranges++;
		account->bytes += range->device_bytes;
		range->account = account;
	} else if (!account->ranges) {
		hash_del(&account->link);
		fresh = account;
	}
	spin_unlock(&accounts_lock);
	kfree(fresh);
	if (ret)
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
	account->bytes -= range->device_bytes;
	if (--account->ranges)
		account = NULL;
	else
		hash_del(&account->link);
	spin_unlock(&accounts_lock);
	kfree(account);
}
