/* SPDX-License-Identifier: MIT */
/*
 * test_xenstore.c: who a guest is.  The few calls of libxenstore that are
 * made are answered here, from a list of domains.
 */
#include <errno.h>
#include <stdbool.h>
#include <xenstore.h>

#include "store.h"
#include "unit.h"

/* What xenstored has: entries of /local/domain, and a name for each. */
struct entry {
	const char	*dir;
	const char	*name;		/* NULL: no such node */
};

static struct fake_store {
	bool			open;
	const struct entry	*entry;
	unsigned int		count;
	int			err;	/* of the next call that may fail */
	bool			fails;
	unsigned int		events;
	unsigned int		taken;
	bool			watching;
} store;

struct xs_handle {
	int	unused;
};

static struct xs_handle handle;

static bool store_fails(void)
{
	if (!store.fails)
		return false;
	store.fails = false;
	errno = store.err;
	return true;
}

static void fail_next(int err)
{
	store.fails = true;
	store.err = err;
}

struct xs_handle *xs_open(unsigned long flags)
{
	assert_int_equal(flags, 0);
	if (store_fails())
		return NULL;
	assert_false(store.open);
	store.open = true;
	return &handle;
}

void xs_close(struct xs_handle *xsh)
{
	assert_ptr_equal(xsh, &handle);
	assert_true(store.open);
	store.open = false;
}

/* As the library: one block, to be freed at once. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path,
		    unsigned int *num)
{
	size_t bytes = (store.count + 1) * sizeof(char *);
	unsigned int i;
	char **list, *p;

	assert_ptr_equal(h, &handle);
	assert_int_equal(t, XBT_NULL);
	assert_string_equal(path, "/local/domain");
	if (store_fails())
		return NULL;
	for (i = 0; i < store.count; i++)
		bytes += strlen(store.entry[i].dir) + 1;
	list = malloc(bytes);
	assert_non_null(list);
	p = (char *)&list[store.count + 1];
	for (i = 0; i < store.count; i++) {
		list[i] = p;
		p = stpcpy(p, store.entry[i].dir) + 1;
	}
	*num = store.count;
	return list;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
	      unsigned int *len)
{
	char want[64];
	unsigned int i;

	assert_ptr_equal(h, &handle);
	assert_int_equal(t, XBT_NULL);
	assert_null(len);
	for (i = 0; i < store.count; i++) {
		(void)snprintf(want, sizeof(want), "/local/domain/%s/name",
			       store.entry[i].dir);
		if (store.entry[i].name && strcmp(want, path) == 0)
			return strdup(store.entry[i].name);
	}
	errno = ENOENT;
	return NULL;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	assert_ptr_equal(h, &handle);
	assert_string_equal(path, "@releaseDomain");
	assert_non_null(token);
	if (store_fails())
		return false;
	store.watching = true;
	return true;
}

int xs_fileno(struct xs_handle *h)
{
	assert_ptr_equal(h, &handle);
	return 42;
}

char **xs_check_watch(struct xs_handle *h)
{
	char **event;

	assert_ptr_equal(h, &handle);
	if (!store.events) {
		errno = EAGAIN;
		return NULL;
	}
	store.events--;
	store.taken++;
	event = calloc(2, sizeof(char *));
	assert_non_null(event);
	return event;
}

static const struct entry domains[] = {
	{ "0",		"Domain-0" },
	{ "3",		"web" },
	{ "4",		"db" },
	{ "12",		"twin" },
	{ "13",		"twin" },
	{ "14",		NULL },
	{ "15",		"" },
	{ "16",		"12" },			/* a name like a number */
	{ "17",		"7x" },
	{ "32751",	"last" },
	/* Nothing that a domain is called. */
	{ "",		"junk" },
	{ "x",		"junk" },
	{ "5x",		"junk" },
	{ "-1",		"junk" },
	{ "+5",		"junk" },
	{ " 5",		"junk" },
	{ "32752",	"junk" },		/* reserved from here on */
	{ "4294967299",	"junk" },
	{ "99999999999999999999999999", "junk" },
};

static int setup(void **state)
{
	struct xenstore *xs = NULL;

	store = (struct fake_store){
		.entry = domains,
		.count = sizeof(domains) / sizeof(domains[0]),
	};
	assert_int_equal(xenstore_open(&xs), 0);
	*state = xs;
	return 0;
}

static int teardown(void **state)
{
	xenstore_close(*state);
	assert_false(store.open);
	return 0;
}

static int find(void *xs, const char *who)
{
	uint32_t domid = 0xbad;
	int r = xenstore_find(xs, who, &domid);

	if (r == 0)
		return (int)domid;
	assert_int_equal(domid, 0xbad);		/* untouched */
	return r;
}

static void test_by_name(void **state)
{
	assert_int_equal(find(*state, "web"), 3);
	assert_int_equal(find(*state, "db"), 4);
	assert_int_equal(find(*state, "Domain-0"), 0);
	assert_int_equal(find(*state, "last"), 32751);
	assert_int_equal(find(*state, "7x"), 17);
}

static void test_by_number(void **state)
{
	assert_int_equal(find(*state, "0"), 0);
	assert_int_equal(find(*state, "3"), 3);
	assert_int_equal(find(*state, "007"), 7);
	assert_int_equal(find(*state, "12"), 12);	/* not the name */
	assert_int_equal(find(*state, "32751"), 32751);
	assert_int_equal(find(*state, "555"), 555);	/* not looked up */
}

static void test_nobody(void **state)
{
	static const char *const who[] = {
		"", "nobody", "we", "webb", "Web", "web ", " web", "junk",
		"32752", "4294967299", "-1", "+3", " 3", "3 ", "0x3", "1e1",
		"99999999999999999999999999", "../3",
	};
	size_t i;

	for (i = 0; i < sizeof(who) / sizeof(who[0]); i++)
		assert_int_equal(find(*state, who[i]), -ENOENT);
}

static void test_twice(void **state)
{
	assert_int_equal(find(*state, "twin"), -ENOTUNIQ);
}

static void test_empty_store(void **state)
{
	store.count = 0;
	assert_int_equal(find(*state, "web"), -ENOENT);
}

static void test_list_fails(void **state)
{
	fail_next(EACCES);
	assert_int_equal(find(*state, "web"), -EACCES);
	fail_next(0);
	assert_int_equal(find(*state, "web"), -EIO);
	fail_next(EACCES);
	assert_int_equal(find(*state, "3"), 3);
}

static void test_name(void **state)
{
	char name[8];

	xenstore_name(*state, 3, name, sizeof(name));
	assert_string_equal(name, "web");
	xenstore_name(*state, 0, name, sizeof(name));
	assert_string_equal(name, "Domain-");		/* cut */
	xenstore_name(*state, 15, name, sizeof(name));
	assert_string_equal(name, "");
	memset(name, 'x', sizeof(name));
	xenstore_name(*state, 14, name, sizeof(name));
	assert_string_equal(name, "");
	xenstore_name(*state, 4294967295u, name, sizeof(name));
	assert_string_equal(name, "");
}

static void test_long_name(void **state)
{
	static char name[1000];
	static const struct entry e = { "6", name };

	memset(name, 'n', sizeof(name) - 1);
	store.entry = &e;
	store.count = 1;
	assert_int_equal(find(*state, name), -ENOENT);
	name[255] = '\0';
	assert_int_equal(find(*state, name), 6);
}

static void test_release(void **state)
{
	fail_next(EIO);
	assert_int_equal(xenstore_watch_release(*state), -EIO);
	assert_false(store.watching);
	assert_int_equal(xenstore_watch_release(*state), 0);
	assert_true(store.watching);
	assert_int_equal(xenstore_fd(*state), 42);

	xenstore_take(*state);
	assert_int_equal(store.taken, 0);
	store.events = 5;
	xenstore_take(*state);
	assert_int_equal(store.taken, 5);
}

static void test_open_fails(void **state)
{
	struct xenstore *xs = NULL;

	(void)state;
	memset(&store, 0, sizeof(store));
	fail_next(ENOENT);
	assert_int_equal(xenstore_open(&xs), -ENOENT);
	fail_next(0);
	assert_int_equal(xenstore_open(&xs), -ENODEV);
	assert_null(xs);
	xenstore_close(NULL);
}

#define XS_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static const struct CMUnitTest tests[] = {
	XS_TEST(test_by_name),
	XS_TEST(test_by_number),
	XS_TEST(test_nobody),
	XS_TEST(test_twice),
	XS_TEST(test_empty_store),
	XS_TEST(test_list_fails),
	XS_TEST(test_name),
	XS_TEST(test_long_name),
	XS_TEST(test_release),
	cmocka_unit_test(test_open_fails),
};

UNIT_MAIN(tests)
