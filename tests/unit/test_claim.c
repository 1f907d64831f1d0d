/* SPDX-License-Identifier: MIT */
/*
 * test_claim.c: one server for one address.  The guests' numbers are of no
 * real guest, and this process's own, for two tests may run at once.
 */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "claim.h"
#include "unit.h"

#define DEVFN	(0x18u << 3)

static uint32_t domid;

static int setup(void **state)
{
	(void)state;
	domid = 0x40000000u + (uint32_t)getpid();
	return 0;
}

static void test_second_is_refused(void **state)
{
	struct claim *a = NULL, *b = NULL;

	(void)state;
	assert_int_equal(claim_take(domid, DEVFN, &a), 0);
	assert_int_equal(claim_take(domid, DEVFN, &b), -EADDRINUSE);
	assert_null(b);
	claim_drop(a);
	assert_int_equal(claim_take(domid, DEVFN, &b), 0);
	claim_drop(b);
	claim_drop(NULL);
}

static void test_others_are_free(void **state)
{
	static const struct {
		uint32_t domid;
		unsigned int devfn;
	} t[] = {
		{ 0, DEVFN }, { 0, DEVFN + 1 }, { 0, DEVFN + 7 },
		{ 0, DEVFN + 8 }, { 0, 0xff }, { 0, 0 }, { 1u << 30, DEVFN },
		{ (1u << 30) + 1, DEVFN },
	};
	struct claim *c[sizeof(t) / sizeof(t[0])], *again = NULL;
	size_t i, n = sizeof(t) / sizeof(t[0]);

	(void)state;
	for (i = 0; i < n; i++)
		assert_int_equal(claim_take(domid + t[i].domid, t[i].devfn,
					    &c[i]), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(claim_take(domid + t[i].domid, t[i].devfn,
					    &again), -EADDRINUSE);
	for (i = 0; i < n; i++)
		claim_drop(c[i]);
}

/* Another process has it; and loses it however it ends. */
static void test_ends_with_its_process(void **state)
{
	struct claim *c = NULL;
	int up[2], down[2], status, how;
	pid_t child;
	char b;

	(void)state;
	for (how = 0; how < 2; how++) {
		assert_int_equal(pipe(up), 0);
		assert_int_equal(pipe(down), 0);
		child = fork();
		assert_true(child >= 0);
		if (!child) {
			b = claim_take(domid, DEVFN, &c) ? 'n' : 'y';
			if (write(up[1], &b, 1) != 1 ||
			    close(down[1]) < 0 ||
			    read(down[0], &b, 1) != 0)
				_exit(1);
			_exit(0);
		}
		assert_int_equal(read(up[0], &b, 1), 1);
		assert_int_equal(b, 'y');
		assert_int_equal(claim_take(domid, DEVFN, &c), -EADDRINUSE);
		if (how)
			assert_int_equal(kill(child, SIGKILL), 0);
		(void)close(down[1]);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(how ? WTERMSIG(status) : WEXITSTATUS(status),
				 how ? SIGKILL : 0);
		assert_int_equal(claim_take(domid, DEVFN, &c), 0);
		claim_drop(c);
		(void)close(down[0]);
		(void)close(up[0]);
		(void)close(up[1]);
	}
}

/*
 * There is one name for all of a host, and a service may run on this one, or
 * this test at the same time: then it is theirs, and stays so.
 */
static void test_service(void **state)
{
	struct claim *a = NULL, *b = NULL, *dev = NULL;
	int r = claim_take_service(&a);

	(void)state;
	if (r == -EADDRINUSE) {
		assert_null(a);
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(claim_take_service(&b), -EADDRINUSE);
	assert_null(b);
	/* It is nobody's address, not even dom0's. */
	assert_int_equal(claim_take(domid, DEVFN, &dev), 0);
	assert_int_equal(claim_take(domid, 0, &b), 0);
	claim_drop(dev);
	claim_drop(b);
	b = NULL;
	assert_int_equal(claim_take_service(&b), -EADDRINUSE);
	claim_drop(a);
	assert_int_equal(claim_take_service(&a), 0);
	claim_drop(a);
}

static void test_no_descriptors(void **state)
{
	struct rlimit old, none;
	struct claim *c = NULL;
	int r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = claim_take(domid, DEVFN, &c);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_null(c);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup(test_second_is_refused, setup),
	cmocka_unit_test_setup(test_others_are_free, setup),
	cmocka_unit_test_setup(test_ends_with_its_process, setup),
	cmocka_unit_test_setup(test_service, setup),
	cmocka_unit_test_setup(test_no_descriptors, setup),
};

UNIT_MAIN(tests)
