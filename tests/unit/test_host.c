/* SPDX-License-Identifier: MIT */
/*
 * test_host.c: who a guest is, and who we are, according to Xen and xenstore,
 * which are a line each here.
 */
#include <errno.h>

#include "host.h"
#include "ioreq/domctl.h"
#include "loop.h"
#include "store.h"
#include "unit.h"
#include "util.h"

static struct {
	int			open_err;	/* of Xen */
	int			store_err;	/* of opening the store */
	int			info_err;
	struct domctl_info	info;
	int			read_err;
	const char		*domid;		/* our own, as it is written */
	unsigned int		open;
} fake;

int domctl_open(struct domctl **ret)
{
	if (fake.open_err)
		return fake.open_err;
	fake.open++;
	*ret = (struct domctl *)&fake;
	return 0;
}

void domctl_close(struct domctl *dc)
{
	fake.open -= dc != NULL;
}

int domctl_info(struct domctl *dc, uint32_t domid, struct domctl_info *ret)
{
	(void)dc;
	assert_int_equal(domid, 5);
	*ret = fake.info;
	return fake.info_err;
}

int xenstore_open(struct xenstore **ret)
{
	if (fake.store_err)
		return fake.store_err;
	fake.open++;
	*ret = (struct xenstore *)&fake;
	return 0;
}

void xenstore_close(struct xenstore *xs)
{
	fake.open -= xs != NULL;
}

int xenstore_read(struct xenstore *xs, const char *path, char *ret, size_t len)
{
	(void)xs;
	assert_string_equal(path, "domid");
	if (fake.read_err)
		return fake.read_err;
	if (strlen(fake.domid) >= len)
		return -E2BIG;
	strcpy(ret, fake.domid);
	return 0;
}

void xenstore_name(struct xenstore *xs, uint32_t domid, char *ret, size_t len)
{
	(void)xs;
	assert_int_equal(domid, 5);
	snprintf(ret, len, "web1");
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.info.kind = DOMCTL_PVH;
	fake.domid = "0";
	return 0;
}

static void test_open(void **state)
{
	static const struct {
		int		open_err;
		int		store_err;
		const char	*why;
	} t[] = {
		{ -ENOENT, 0, "cannot talk to Xen: No such file or directory; is this dom0, and are you root?" },
		{ 0, -EACCES, "cannot reach xenstore: Permission denied; is xenstored running?" },
	};
	struct host host;
	char why[256];
	size_t i;

	(void)state;
	assert_int_equal(host_open(&host, why, sizeof(why)), 0);
	assert_non_null(host.loop);
	assert_int_equal(fake.open, 2);
	host_close(&host);
	assert_int_equal(fake.open, 0);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		fake.open_err = t[i].open_err;
		fake.store_err = t[i].store_err;
		memset(&host, 0xa5, sizeof(host));
		assert_int_equal(host_open(&host, why, sizeof(why)),
				 t[i].open_err + t[i].store_err);
		assert_string_equal(why, t[i].why);
		host_close(&host);	/* a half-made one */
		assert_int_equal(fake.open, 0);
	}
}

static int self(void)
{
	struct host host = { 0 };
	uint32_t domid = 77;
	char why[256] = "";
	int r;

	r = host_self(&host, &domid, why, sizeof(why));
	if (r == 0) {
		assert_string_equal(why, "");
		return (int)domid;
	}
	assert_int_equal(domid, 77);
	assert_memory_equal(why, "cannot read our own 'domid' in xenstore: ",
			    41);
	return r;
}

static void test_self(void **state)
{
	static const char *const junk[] = {
		"x", "5x", "0x5", "65536", "-1", "4294967296",
		"99999999999999999999999", "5 ",
	};
	size_t i;

	(void)state;
	assert_int_equal(self(), 0);
	fake.domid = "3";
	assert_int_equal(self(), 3);
	fake.domid = "65535";
	assert_int_equal(self(), 65535);
	for (i = 0; i < ARRAY_SIZE(junk); i++) {
		fake.domid = junk[i];
		assert_true(self() < 0);
	}
	/* Nobody has written it: this is dom0. */
	fake.read_err = -ENOENT;
	assert_int_equal(self(), 0);
	fake.read_err = -EACCES;
	assert_int_equal(self(), -EACCES);
}

static void test_find(void **state)
{
	struct host_guest who;
	struct host host = { 0 };
	char why[256] = "";

	(void)state;
	assert_int_equal(host_find(&host, 5, &who, why, sizeof(why)), 0);
	assert_int_equal(who.domid, 5);
	assert_true(who.pvh);
	assert_string_equal(who.name, "web1");
	fake.info.kind = DOMCTL_HVM;
	assert_int_equal(host_find(&host, 5, &who, why, sizeof(why)), 0);
	assert_false(who.pvh);
	assert_string_equal(why, "");
}

static void test_find_none(void **state)
{
	static const char none[] = "no such guest; 'xl list' shows those there are";
	struct host_guest who = { .domid = 77 };
	struct host host = { 0 };
	char why[256];

	(void)state;
	fake.info_err = -ESRCH;
	assert_int_equal(host_find(&host, 5, &who, why, sizeof(why)), -ESRCH);
	assert_string_equal(why, none);
	fake.info_err = -EACCES;
	assert_int_equal(host_find(&host, 5, &who, why, sizeof(why)), -EACCES);
	assert_string_equal(why, "Permission denied");
	fake.info_err = 0;
	fake.info.dying = true;
	assert_int_equal(host_find(&host, 5, &who, why, sizeof(why)), -ESRCH);
	assert_string_equal(why, none);
	fake.info = (struct domctl_info){ .kind = DOMCTL_PV };
	assert_int_equal(host_find(&host, 5, &who, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "d5 is a PV guest, which has no emulated devices; type=\"pvh\" or \"hvm\" is needed");
	assert_int_equal(who.domid, 77);		/* untouched */
}

static void test_has_lost(void **state)
{
	static struct unit_capture cap;
	struct host host = { 0 };

	(void)state;
	assert_false(host_has_lost(&host, 5));
	fake.info.suspended = true;
	assert_false(host_has_lost(&host, 5));
	fake.info.dying = true;
	assert_true(host_has_lost(&host, 5));
	fake.info_err = -ESRCH;
	fake.info.dying = false;
	assert_true(host_has_lost(&host, 5));
	fake.info_err = -EACCES;		/* not known */
	unit_capture_start(&cap, STDERR_FILENO);
	assert_false(host_has_lost(&host, 5));
	assert_non_null(strstr(unit_capture_end(&cap), "d5: cannot tell whether the guest is still there"));
}

#define T(fn)	cmocka_unit_test_setup(fn, setup)

static const struct CMUnitTest tests[] = {
	T(test_open), T(test_self), T(test_find), T(test_find_none),
	T(test_has_lost),
};

UNIT_MAIN(tests)
