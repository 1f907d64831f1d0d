/* SPDX-License-Identifier: MIT */
/*
 * test_xenstore.c: who a guest is, and what is read and written for it.  The
 * few calls of libxenstore that are made are answered here, from a list of
 * domains and a handful of nodes.
 *
 * A transaction works on a copy of the nodes, as xenstored's do: what was
 * written comes into the store when it ends well, or not at all.  Nothing is
 * ever written outside of one.
 */
#include <errno.h>
#include <stdbool.h>
#include <xenstore.h>

#include "store.h"
#include "unit.h"
#include "util.h"

#define MAX_NODES	16
#define TRANSACTION	77u		/* there is one at a time */

/* What xenstored has: entries of /local/domain, and a name for each. */
struct entry {
	const char	*dir;
	const char	*name;		/* NULL: no such node */
};

struct node {
	const char	*path;		/* NULL: free */
	char		value[64];
	unsigned int	len;
};

static struct fake_store {
	bool			open;
	struct node		node[MAX_NODES];
	struct node		copy[MAX_NODES];	/* a transaction's */
	bool			in_transaction;
	unsigned int		started;
	unsigned int		conflicts;	/* yet to come */
	unsigned int		writes;		/* that were asked for */
	void			(*meanwhile)(void);	/* in a conflict */
	const char		*bad;		/* nodes that fail ... */
	int			bad_err;	/* ... with this */
	const char		*bad_call;	/* in this call only; or NULL */
	const char		*dir;		/* what xs_directory() expects */
	const char		*watch;		/* the same, of xs_watch() */
	const char		*event;
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

/* ---- nodes ---- */

static struct node *node_find(struct node *nodes, const char *path)
{
	size_t i;

	for (i = 0; i < MAX_NODES; i++)
		if (nodes[i].path && strcmp(nodes[i].path, path) == 0)
			return &nodes[i];
	return NULL;
}

/* @path lives as long as the node. */
static void node_set(struct node *nodes, const char *path, const char *value,
		     unsigned int len)
{
	struct node *node = node_find(nodes, path);
	size_t i;

	for (i = 0; i < MAX_NODES && !node; i++)
		if (!nodes[i].path)
			node = &nodes[i];
	assert_non_null(node);
	assert_true(len < sizeof(node->value));
	node->path = path;
	node->len = len;
	memset(node->value, 0, sizeof(node->value));
	memcpy(node->value, value, len);
}

/* With all that is below. */
static void node_rm(struct node *nodes, const char *path)
{
	size_t i, len = strlen(path);

	for (i = 0; i < MAX_NODES; i++)
		if (nodes[i].path && strncmp(nodes[i].path, path, len) == 0 &&
		    (nodes[i].path[len] == '\0' || nodes[i].path[len] == '/'))
			nodes[i].path = NULL;
}

static void put(const char *path, const char *value)
{
	node_set(store.node, path, value, (unsigned int)strlen(value));
}

/* Return: "" if there is none. */
static const char *get(const char *path)
{
	struct node *node = node_find(store.node, path);

	return node ? node->value : "";
}

static struct node *nodes_of(xs_transaction_t t)
{
	assert_int_equal(t, store.in_transaction ? TRANSACTION : XBT_NULL);
	return store.in_transaction ? store.copy : store.node;
}

static bool node_fails(const char *call, const char *path)
{
	if (!store.bad || strcmp(store.bad, path) != 0 ||
	    (store.bad_call && strcmp(store.bad_call, call) != 0))
		return false;
	errno = store.bad_err;
	return true;
}

static void fail_at(const char *call, const char *path, int err)
{
	store.bad_call = call;
	store.bad = path;
	store.bad_err = err;
}

/* ---- libxenstore ---- */

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
	assert_string_equal(path, store.dir ? store.dir : "/local/domain");
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

static const char *name_of(const char *path)
{
	char want[64];
	unsigned int i;

	for (i = 0; i < store.count; i++) {
		(void)snprintf(want, sizeof(want), "/local/domain/%s/name",
			       store.entry[i].dir);
		if (store.entry[i].name && strcmp(want, path) == 0)
			return store.entry[i].name;
	}
	return NULL;
}

/* As the library: with a zero behind, which does not count. */
static void *value_dup(const void *value, unsigned int len, unsigned int *ret)
{
	char *copy = malloc(len + 1);

	assert_non_null(copy);
	memcpy(copy, value, len);
	copy[len] = '\0';
	if (ret)
		*ret = len;
	return copy;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
	      unsigned int *len)
{
	const struct node *node = node_find(nodes_of(t), path);
	const char *name = name_of(path);

	assert_ptr_equal(h, &handle);
	if (node_fails("read", path))
		return NULL;
	if (node)
		return value_dup(node->value, node->len, len);
	if (name)
		return value_dup(name, (unsigned int)strlen(name), len);
	errno = ENOENT;
	return NULL;
}

static bool in_transaction(struct xs_handle *h, xs_transaction_t t)
{
	assert_ptr_equal(h, &handle);
	assert_true(store.in_transaction);
	assert_int_equal(t, TRANSACTION);
	return true;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
	      const void *data, unsigned int len)
{
	/* As long as the test, whatever becomes of the caller's. */
	static char paths[MAX_NODES][64];
	static unsigned int n;
	char *kept = paths[n++ % MAX_NODES];

	assert_true(in_transaction(h, t));
	store.writes++;
	if (node_fails("write", path))
		return false;
	assert_true(strlen(path) < sizeof(paths[0]));
	strcpy(kept, path);
	node_set(store.copy, kept, data, len);
	return true;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	assert_true(in_transaction(h, t));
	store.writes++;
	if (node_fails("rm", path))
		return false;
	if (!node_find(store.copy, path)) {
		errno = ENOENT;
		return false;
	}
	node_rm(store.copy, path);
	return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	assert_ptr_equal(h, &handle);
	assert_false(store.in_transaction);
	if (store_fails())
		return XBT_NULL;
	store.started++;
	store.in_transaction = true;
	memcpy(store.copy, store.node, sizeof(store.copy));
	return TRANSACTION;
}

/* As xenstored: it is over in every case. */
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	assert_true(in_transaction(h, t));
	store.in_transaction = false;
	if (abort)
		return true;
	if (node_fails("end", "end"))
		return false;
	if (store.conflicts) {
		store.conflicts--;
		if (store.meanwhile)
			store.meanwhile();
		errno = EAGAIN;
		return false;
	}
	memcpy(store.node, store.copy, sizeof(store.node));
	return true;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	assert_ptr_equal(h, &handle);
	assert_string_equal(path, store.watch ? store.watch :
			    "@releaseDomain");
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
	event = calloc(1, 2 * sizeof(char *) + 64);
	assert_non_null(event);
	event[XS_WATCH_PATH] = (char *)&event[2];
	strcpy(event[XS_WATCH_PATH], store.event ? store.event : "");
	event[XS_WATCH_TOKEN] = event[XS_WATCH_PATH];
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
	assert_false(store.in_transaction);	/* each was ended */
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

/* ---- watches ---- */

static void test_watch(void **state)
{
	char path[64], small[8];

	store.watch = "/local/domain/0/backend/virtio";
	fail_next(EACCES);
	assert_int_equal(xenstore_watch(*state, store.watch), -EACCES);
	assert_false(store.watching);
	assert_int_equal(xenstore_watch(*state, store.watch), 0);
	assert_true(store.watching);

	memset(path, 'x', sizeof(path));
	assert_false(xenstore_next(*state, path, sizeof(path)));
	assert_int_equal(path[0], 'x');
	store.event = "/local/domain/0/backend/virtio/5/0";
	store.events = 3;
	assert_true(xenstore_next(*state, path, sizeof(path)));
	assert_string_equal(path, store.event);
	assert_true(xenstore_next(*state, small, sizeof(small)));
	assert_string_equal(small, "/local/");		/* cut */
	assert_true(xenstore_next(*state, small, 1));
	assert_string_equal(small, "");
	assert_false(xenstore_next(*state, path, sizeof(path)));
}

/* ---- values ---- */

static void test_read(void **state)
{
	char v[8];

	put("/a", "1234567");
	put("/empty", "");
	put("/long", "12345678");
	assert_int_equal(xenstore_read(*state, "/a", v, sizeof(v)), 0);
	assert_string_equal(v, "1234567");
	assert_int_equal(xenstore_read(*state, "/empty", v, sizeof(v)), 0);
	assert_string_equal(v, "");
	assert_int_equal(xenstore_read(*state, "/empty", v, 1), 0);

	memset(v, 'x', sizeof(v));
	assert_int_equal(xenstore_read(*state, "/long", v, sizeof(v)),
			 -E2BIG);
	assert_int_equal(xenstore_read(*state, "/a", v, 7), -E2BIG);
	assert_int_equal(xenstore_read(*state, "/none", v, sizeof(v)),
			 -ENOENT);
	fail_at("read", "/a", EACCES);
	assert_int_equal(xenstore_read(*state, "/a", v, sizeof(v)), -EACCES);
	fail_at("read", "/a", 0);
	assert_int_equal(xenstore_read(*state, "/a", v, sizeof(v)), -EIO);
	assert_memory_equal(v, "xxxxxxxx", 8);
}

/* Whoever looks at such a value as a string sees only its beginning. */
static void test_read_zeroes(void **state)
{
	static const struct {
		const char	*value;
		unsigned int	len;
	} t[] = { { "a\0b", 3 }, { "\0", 1 }, { "\0a", 2 }, { "a\0", 2 } };
	char v[8] = "xxxxxxx";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		node_set(store.node, "/z", t[i].value, t[i].len);
		assert_int_equal(xenstore_read(*state, "/z", v, sizeof(v)),
				 -E2BIG);
	}
	assert_string_equal(v, "xxxxxxx");
}

static void test_list(void **state)
{
	static const struct entry entries[] = { { "51808", NULL },
						{ "x", NULL } };
	char **list = (char **)state;
	unsigned int count = 99;

	store.dir = "/local/domain/0/backend/virtio_disk/5";
	store.entry = entries;
	store.count = ARRAY_SIZE(entries);
	fail_next(ENOENT);
	assert_int_equal(xenstore_list(*state, store.dir, &list, &count),
			 -ENOENT);
	fail_next(0);
	assert_int_equal(xenstore_list(*state, store.dir, &list, &count),
			 -EIO);
	assert_ptr_equal(list, state);			/* untouched */
	assert_int_equal(count, 99);
	assert_int_equal(xenstore_list(*state, store.dir, &list, &count), 0);
	assert_int_equal(count, 2);
	assert_string_equal(list[0], "51808");
	assert_string_equal(list[1], "x");
	free(list);
	store.count = 0;
	assert_int_equal(xenstore_list(*state, store.dir, &list, &count), 0);
	assert_int_equal(count, 0);
	free(list);
}

/* ---- changes ---- */

#define DIR	"/backend/5/51808"
#define STATE	DIR "/state"
#define ERROR	DIR "/error"

static int setup_dir(void **state)
{
	(void)setup(state);
	put(DIR, "");
	put(STATE, "1");
	put("/backend/5/518080/state", "1");	/* a neighbour */
	return 0;
}

/* The store as setup_dir() has left it, but for STATE. */
static void assert_unchanged(const char *value)
{
	assert_string_equal(get(STATE), value);
	assert_null(node_find(store.node, ERROR));
	assert_string_equal(get("/backend/5/518080/state"), "1");
	assert_false(store.in_transaction);
}

static int change(void *xs, const char *from, const char *value)
{
	const struct xenstore_change c = {
		.key = "state", .from = from, .value = value,
	};

	return xenstore_change(xs, DIR, &c, 1);
}

/* Both or none. */
static int change_both(void *xs, const char *from)
{
	const struct xenstore_change c[] = {
		{ .key = "error", .value = "why" },
		{ .key = "state", .from = from, .value = "6" },
	};

	return xenstore_change(xs, DIR, c, ARRAY_SIZE(c));
}

static void test_change(void **state)
{
	assert_int_equal(change(*state, "1", "2"), 0);
	assert_string_equal(get(STATE), "2");
	assert_int_equal(change(*state, NULL, "4"), 0);
	assert_string_equal(get(STATE), "4");
	assert_int_equal(change(*state, NULL, ""), 0);
	assert_string_equal(get(STATE), "");
	assert_int_equal(change(*state, "", "5"), 0);
	assert_int_equal(change_both(*state, "5"), 0);
	assert_string_equal(get(STATE), "6");
	assert_string_equal(get(ERROR), "why");
	assert_int_equal(store.started, 5);
	assert_int_equal(xenstore_change(*state, DIR, NULL, 0), 0);
}

static void test_change_removes(void **state)
{
	assert_int_equal(change(*state, "2", NULL), -ESTALE);
	assert_unchanged("1");
	assert_int_equal(change(*state, "1", NULL), 0);
	assert_null(node_find(store.node, STATE));
	assert_non_null(node_find(store.node, DIR));
	assert_int_equal(change(*state, NULL, NULL), 0);	/* again */
	/* A key that is not there has no value that it could have. */
	assert_int_equal(change(*state, "1", NULL), -ESTALE);
	assert_int_equal(change(*state, "", NULL), -ESTALE);
	assert_int_equal(change(*state, "1", "2"), -ESTALE);
	assert_null(node_find(store.node, STATE));
	/* And without a condition it is there again. */
	assert_int_equal(change(*state, NULL, "2"), 0);
	assert_string_equal(get(STATE), "2");
}

static void test_change_no_dir(void **state)
{
	node_rm(store.node, DIR);
	assert_int_equal(change(*state, NULL, "2"), -ENOENT);
	assert_int_equal(change(*state, "1", "2"), -ENOENT);
	assert_int_equal(change(*state, NULL, NULL), -ENOENT);
	assert_int_equal(change_both(*state, NULL), -ENOENT);
	assert_int_equal(store.writes, 0);		/* not even tried */
	assert_unchanged("");
}

static void test_change_stale(void **state)
{
	static const struct {
		const char	*value;
		unsigned int	len;
	} t[] = {
		{ "2", 1 }, { "11", 2 }, { "", 0 }, { "1 ", 2 }, { "01", 2 },
		{ "1\0", 2 }, { "1\0x", 3 }, { "\0001", 2 },
		{ "1111111111111111111111111111111111111111111111111111111",
		  55 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		node_set(store.node, STATE, t[i].value, t[i].len);
		assert_int_equal(change(*state, "1", "6"), -ESTALE);
		assert_int_equal(change_both(*state, "1"), -ESTALE);
		assert_unchanged(t[i].value);
		assert_int_equal(node_find(store.node, STATE)->len, t[i].len);
	}
}

/* Others write to the store, too. */
static void test_change_conflicts(void **state)
{
	store.conflicts = 3;
	assert_int_equal(change_both(*state, "1"), 0);
	assert_int_equal(store.started, 4);
	assert_string_equal(get(STATE), "6");
	assert_string_equal(get(ERROR), "why");

	/* And for ever: it ends, and nothing is written. */
	node_rm(store.node, ERROR);
	put(STATE, "1");
	store.started = 0;
	store.conflicts = 1000000;
	assert_int_equal(change_both(*state, "1"), -EAGAIN);
	assert_in_range(store.started, 10, 1000);
	assert_unchanged("1");
}

static void dir_goes(void)
{
	node_rm(store.node, DIR);
}

static void state_changes(void)
{
	put(STATE, "5");
}

static void state_goes(void)
{
	node_rm(store.node, STATE);
}

static void dir_is_anew(void)
{
	node_rm(store.node, DIR);
	put(DIR, "");
	put(STATE, "1");
}

/* What was seen in one try is not what holds in the next. */
static void test_change_meanwhile(void **state)
{
	static const struct {
		void		(*meanwhile)(void);
		const char	*from;
		int		r;
		const char	*state;
	} t[] = {
		{ dir_goes, "1", -ENOENT, "" },
		{ dir_goes, NULL, -ENOENT, "" },
		{ state_changes, "1", -ESTALE, "5" },
		{ state_goes, "1", -ESTALE, "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		put(DIR, "");
		put(STATE, "1");
		store.conflicts = 1;
		store.meanwhile = t[i].meanwhile;
		assert_int_equal(change_both(*state, t[i].from), t[i].r);
		assert_unchanged(t[i].state);
	}
	put(DIR, "");
	put(STATE, "1");
	store.conflicts = 1;
	store.meanwhile = dir_is_anew;
	assert_int_equal(change_both(*state, "1"), 0);
	assert_string_equal(get(STATE), "6");
}

static void test_change_fails(void **state)
{
	static const struct {
		const char	*call;
		const char	*path;
		int		err;
	} t[] = {
		{ "read", DIR, EACCES }, { "read", DIR, EIO },
		{ "read", STATE, EACCES }, { "write", ERROR, ENOSPC },
		{ "write", STATE, EACCES }, { "write", STATE, ENOENT },
		{ "end", "end", EIO }, { "end", "end", ENOSPC },
		{ "end", "end", ENOENT },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		fail_at(t[i].call, t[i].path, t[i].err);
		assert_int_equal(change_both(*state, "1"), -t[i].err);
		assert_unchanged("1");
	}
	fail_at("rm", STATE, EACCES);
	assert_int_equal(change(*state, NULL, NULL), -EACCES);
	assert_unchanged("1");
	store.bad = NULL;

	/* There is no transaction to be had. */
	fail_next(ENOSPC);
	assert_int_equal(change(*state, NULL, "2"), -ENOSPC);
	fail_next(0);
	assert_int_equal(change(*state, NULL, "2"), -EIO);
	assert_unchanged("1");
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

#define DIR_TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup_dir, teardown)

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
	XS_TEST(test_watch),
	XS_TEST(test_read),
	XS_TEST(test_read_zeroes),
	XS_TEST(test_list),
	DIR_TEST(test_change),
	DIR_TEST(test_change_removes),
	DIR_TEST(test_change_no_dir),
	DIR_TEST(test_change_stale),
	DIR_TEST(test_change_conflicts),
	DIR_TEST(test_change_meanwhile),
	DIR_TEST(test_change_fails),
	cmocka_unit_test(test_open_fails),
};

UNIT_MAIN(tests)
