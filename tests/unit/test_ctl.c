/* SPDX-License-Identifier: MIT */
/*
 * test_ctl.c: xen-virtioctl, the program, against a daemon that says whatever
 * the test wants, and against src/control.c.
 *
 *	test -- fork --> daemon   requests come back in shared memory
 *	     -- fork --> xen-virtioctl   with stdout and stderr in memory
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <json-c/json.h>
#include <libfdt.h>

#include "control.h"
#include "log.h"
#include "loop.h"
#include "unit.h"
#include "util.h"

#ifndef CTL_BIN
#define CTL_BIN "./xen-virtioctl"	/* the Makefile knows it */
#endif

#define MAX_ARGS	40
#define OK		"{\"ok\":true,\"result\":{}}\n"

/* What the daemons write, and the test reads. */
struct shared {
	char	requests[8][4096];
	int	count;
};

static struct {
	char		dir[64];
	char		path[100];
	struct shared	*shared;
	pid_t		daemon;
	int		status;		/* of the client's end */
	char		out[1 << 16];
	char		err[1 << 12];
} t;

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	strcpy(t.dir, "/tmp/xvd-ctl-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	snprintf(t.path, sizeof(t.path), "%s/sock", t.dir);
	t.shared = mmap(NULL, sizeof(*t.shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(t.shared != MAP_FAILED);
	(void)alarm(60);		/* a failure must not hang */
	return 0;
}

static void stop_daemon(void)
{
	if (t.daemon > 0) {
		(void)kill(t.daemon, SIGKILL);
		assert_int_equal(waitpid(t.daemon, NULL, 0), t.daemon);
	}
	t.daemon = 0;
	(void)unlink(t.path);
}

static int teardown(void **state)
{
	(void)state;
	stop_daemon();
	(void)munmap(t.shared, sizeof(*t.shared));
	return rmdir(t.dir);
}

/* ---- the daemon ---- */

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (void *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void read_request(int fd)
{
	char *p = t.shared->requests[t.shared->count], *end = p + 4095;

	while (p < end && read(fd, p, 1) == 1 && *p != '\n')
		p++;
	*p = '\0';
	t.shared->count++;
}

static void answer(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n;

	while (len > 0) {
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n < 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

/* In the child: one reply for each connection, and then no more of these. */
static void serve(int fd, const char *const *replies, unsigned int delay_ms)
{
	int conn;

	for (; *replies; replies++) {
		conn = accept(fd, NULL, NULL);
		if (conn < 0)
			_exit(1);
		read_request(conn);
		usleep(delay_ms * 1000);
		answer(conn, *replies);
		close(conn);
	}
	_exit(0);
}

static void start_daemon(const char *const *replies, unsigned int delay_ms)
{
	int fd;

	stop_daemon();
	memset(t.shared, 0, sizeof(*t.shared));
	fd = listen_at(t.path);
	(void)fflush(NULL);
	t.daemon = fork();
	assert_true(t.daemon >= 0);
	if (t.daemon == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(fd, replies, delay_ms);
	}
	close(fd);
}

/* ---- the client ---- */

static int read_all(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	assert_true(n >= 0);
	buf[n] = '\0';
	return close(fd);
}

static pid_t start_client(const char *const *args, int out, int err)
{
	const char *argv[MAX_ARGS + 4] = { CTL_BIN, "--socket", t.path };
	int i;
	pid_t pid;

	for (i = 0; args[i]; i++) {
		assert_true(i < MAX_ARGS);
		argv[3 + i] = args[i];
	}
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* A shell's background job ignores these. */
		(void)signal(SIGINT, SIG_DFL);
		(void)signal(SIGQUIT, SIG_DFL);
		if (dup2(out, STDOUT_FILENO) < 0 ||
		    dup2(err, STDERR_FILENO) < 0)
			_exit(90);
		(void)execv(CTL_BIN, (char **)(uintptr_t)argv);
		_exit(91);
	}
	return pid;
}

static void run_to(const char *const *args, int out)
{
	int err = memfd_create("err", MFD_CLOEXEC);
	pid_t pid = start_client(args, out, err);

	assert_int_equal(waitpid(pid, &t.status, 0), pid);
	(void)read_all(err, t.err, sizeof(t.err));
}

/* Return: the exit status. */
static int run_args(const char *const *args)
{
	int out = memfd_create("out", MFD_CLOEXEC);

	run_to(args, out);
	(void)read_all(out, t.out, sizeof(t.out));
	assert_true(WIFEXITED(t.status));
	return WEXITSTATUS(t.status);
}

#define RUN(...)	run_args((const char *const[]){ __VA_ARGS__, NULL })
#define DAEMON(...)	start_daemon((const char *const[]){ __VA_ARGS__, \
						NULL }, 0)

static void expect_error(int status, int want, const char *text)
{
	char line[1100];

	snprintf(line, sizeof(line), "xen-virtioctl: %s\n", text);
	assert_string_equal(t.err, line);
	assert_string_equal(t.out, "");
	assert_int_equal(status, want);
}

/* ---- the command line ---- */

static void test_usage(void **state)
{
	static const struct {
		const char *args[6];
		const char *error;
	} bad[] = {
		{ { NULL }, "a command is missing: see --help" },
		{ { "lst" }, "'lst' is no command: see --help" },
		{ { "list", "a", "b" }, "usage: xen-virtioctl list [GUEST]" },
		{ { "show" }, "usage: xen-virtioctl show GUEST [DEVICE]" },
		{ { "attach", "a" }, "usage: xen-virtioctl attach GUEST SPEC" },
		{ { "detach", "a" },
		  "usage: xen-virtioctl detach GUEST DEVICE" },
		{ { "resize", "a", "b", "1", "2" },
		  "usage: xen-virtioctl resize GUEST DEVICE [SIZE]" },
		{ { "reload", "a" }, "usage: xen-virtioctl reload" },
		{ { "show", "" }, "an empty word: usage: xen-virtioctl show "
		  "GUEST [DEVICE]" },
		{ { "link", "a", "b", "on" }, "link 'on': use up or down" },
		{ { "resize", "a", "b", "+1G" }, "size '+1G': use the new size "
		  "in bytes, or with k, M, G or T, as in 20G" },
		{ { "resize", "a", "b", "1X" }, "size '1X': use the new size "
		  "in bytes, or with k, M, G or T, as in 20G" },
		{ { "resize", "a", "b", "1GB" }, "size '1GB': use the new size "
		  "in bytes, or with k, M, G or T, as in 20G" },
		{ { "resize", "a", "b", "0" }, "size '0': use the new size "
		  "in bytes, or with k, M, G or T, as in 20G" },
		{ { "resize", "a", "b", "8388608T" }, "size '8388608T': use "
		  "the new size in bytes, or with k, M, G or T, as in 20G" },
		{ { "list", "--interval", "0.1" },
		  "--interval is for stats, not for list" },
		{ { "stats", "--interval", "0" },
		  "--interval '0': use 0.1 to 86400, in seconds" },
		{ { "list", "--timeout=1e1" },
		  "--timeout '1e1': use 0.1 to 86400, in seconds" },
		{ { "list", "--timeout", "86401" },
		  "--timeout '86401': use 0.1 to 86400, in seconds" },
		{ { "list", "--timeout", "." },
		  "--timeout '.': use 0.1 to 86400, in seconds" },
		{ { "list", "--timeout" },
		  "--timeout needs a value: see --help" },
		{ { "list", "--json=x" }, "'--json=x': it takes no value" },
		{ { "list", "--colour" }, "'--colour' is no option, or short "
		  "for several: see --help" },
		{ { "list", "-x" }, "'-x' is no option: see --help" },
		{ { "li\x1bst" }, "'li\\x1bst' is no command: see --help" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(run_args(bad[i].args), 2, bad[i].error);
}

static void test_help(void **state)
{
	(void)state;
	assert_int_equal(RUN("--help"), 0);
	assert_ptr_equal(strstr(t.out, "Usage: xen-virtioctl [OPTIONS] COMMAND "
				"...\n"), t.out);
	assert_string_equal(t.err, "");
	assert_int_equal(RUN("-h"), 0);
	assert_memory_equal(t.out, "Usage: ", 7);
	assert_int_equal(RUN("-V"), 0);
	assert_memory_equal(t.out, "xen-virtioctl ", 14);
	assert_int_equal(RUN("list", "--version"), 0);
	assert_memory_equal(t.out, "xen-virtioctl ", 14);
}

/* ---- a guest's device tree ---- */

static const uint32_t *dtb_cells(const char *path, const char *name, int count)
{
	int len = -1, node = fdt_path_offset(t.out, path);
	const void *cells;

	assert_true(node >= 0);
	cells = fdt_getprop(t.out, node, name, &len);
	assert_int_equal(len, 4 * count);
	return cells;
}

static uint32_t dtb_cell(const char *path, const char *name)
{
	return fdt32_ld((const fdt32_t *)dtb_cells(path, name, 1));
}

#define DTB_MSI		"/passthrough/v2m@3001000"
#define DTB_BRIDGE	"/passthrough/pcie@10000000"
#define DTB_IOMMU	"/passthrough/xen_iommu"

static void test_dtb(void **state)
{
	const fdt32_t *map;
	unsigned int slot;

	(void)state;
	assert_int_equal(RUN("guest-dtb"), 0);
	assert_string_equal(t.err, "nr_spis=128\n");
	assert_int_equal(fdt_check_full(t.out, fdt_totalsize(t.out)), 0);
	assert_int_equal(dtb_cell(DTB_MSI, "arm,msi-base-spi"), 96);
	assert_int_equal(dtb_cell(DTB_MSI, "arm,msi-num-spis"), 64);
	assert_int_equal(dtb_cell(DTB_BRIDGE, "msi-parent"),
			 dtb_cell(DTB_MSI, "phandle"));
	map = (const fdt32_t *)dtb_cells(DTB_BRIDGE, "iommu-map", 4);
	assert_int_equal(fdt32_ld(&map[1]), dtb_cell(DTB_IOMMU, "phandle"));
	assert_int_equal(fdt32_ld(&map[2]), 0);		/* dom0 */
	assert_int_equal(dtb_cell(DTB_BRIDGE, "iommu-map-mask"), 0);
	map = (const fdt32_t *)dtb_cells(DTB_BRIDGE, "reg", 4);
	assert_int_equal(fdt32_ld(&map[1]), 0x10000000);
	assert_int_equal(fdt32_ld(&map[3]), 0x10000000);
	/* INTA# of slot n is SPI 32 + n, which is interrupt 64 + n. */
	map = (const fdt32_t *)dtb_cells(DTB_BRIDGE, "interrupt-map", 32 * 8);
	for (slot = 0; slot < 32; slot++) {
		assert_int_equal(fdt32_ld(&map[slot * 8]), slot << 11);
		assert_int_equal(fdt32_ld(&map[slot * 8 + 3]), 1);
		assert_int_equal(fdt32_ld(&map[slot * 8 + 4]), 65000);
		assert_int_equal(fdt32_ld(&map[slot * 8 + 6]), 32 + slot);
		assert_int_equal(fdt32_ld(&map[slot * 8 + 7]), 1); /* edge */
	}
}

static void test_dtb_devices(void **state)
{
	static const struct {
		const char *args[8];
		const char *text;
		uint32_t messages;
	} good[] = {
		/* A disk's queue and one, two of a card's and two more; 32. */
		{ { "guest-dtb", "blk,path=/x", "net,bridge=b" },
		  "nr_spis=128\n", 64 },
		{ { "guest-dtb", "blk,path=/x,queues=16",
		    "blk,path=/y,queues=14" }, "nr_spis=128\n", 64 },
		{ { "guest-dtb", "blk,path=/x,queues=16",
		    "blk,path=/y,queues=15" }, "nr_spis=160\n", 96 },
	};
	static const struct {
		const char *args[8];
		const char *error;
	} bad[] = {
		{ { "guest-dtb", "blk,path=/x,bdf=00:18.0",
		    "net,bridge=b,bdf=00:18.0" }, "bdf='00:18.0': devices 1 "
		  "and 2 cannot both be there" },
		{ { "guest-dtb", "disk" }, "'disk': 'disk' is no kind of "
		  "device: use blk,KEY=VALUE,... or net,KEY=VALUE,..." },
		{ { "guest-dtb", "blk,path=/x", "blk,path=/y,grants=off" },
		  "all of a guest's devices have the same grants=" },
		{ { "guest-dtb", "" }, "an empty word: usage: xen-virtioctl "
		  "guest-dtb [SPEC ...]" },
	};
	const char *many[MAX_ARGS + 20] = { "guest-dtb" };
	char words[31][64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(run_args(good[i].args), 0);
		assert_string_equal(t.err, good[i].text);
		assert_int_equal(dtb_cell(DTB_MSI, "arm,msi-num-spis"),
				 good[i].messages);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(run_args(bad[i].args), 2, bad[i].error);
	assert_int_equal(RUN("guest-dtb", "blk,path=/x,grants=off"), 0);
	assert_true(fdt_path_offset(t.out, DTB_IOMMU) < 0);
	assert_null(fdt_getprop(t.out, fdt_path_offset(t.out, DTB_BRIDGE),
				"iommu-map", NULL));
	for (i = 0; i < 29; i++) {
		snprintf(words[i], sizeof(words[i]),
			 "blk,path=/x,queues=16,bdf=00:%02zx.%zx",
			 5 + i / 8, i % 8);
		many[1 + i] = words[i];
	}
	expect_error(run_args(many), 2, "the devices want 493 messages, and a "
		     "guest has at most 480: use fewer queues");
}

#define V	"{\"version\":1,\"command\":"

/* Every command: what the daemon is asked, and that nothing is made of {}. */
static void test_requests(void **state)
{
	static const struct {
		const char *args[8];
		const char *request;
	} good[] = {
		{ { "list" }, V "\"list\"}" },
		{ { "show", "web1" }, V "\"show\",\"guest\":\"web1\"}" },
		{ { "show", "5", "00:18.0" },
		  V "\"show\",\"guest\":\"5\",\"device\":\"00:18.0\"}" },
		{ { "stats" }, V "\"stats\"}" },
		{ { "stats", "g" }, V "\"stats\",\"guest\":\"g\"}" },
		{ { "stats", "g", "xvdg" },
		  V "\"stats\",\"guest\":\"g\",\"device\":\"xvdg\"}" },
		{ { "attach", "g", "blk,path=/a\"\n\\" }, V "\"attach\","
		  "\"guest\":\"g\",\"device\":\"blk,path=/a\\\"\\n\\\\\"}" },
		{ { "detach", "g", "d" },
		  V "\"detach\",\"guest\":\"g\",\"device\":\"d\"}" },
		{ { "resize", "g", "d" },
		  V "\"resize\",\"guest\":\"g\",\"device\":\"d\"}" },
		{ { "resize", "g", "d", "512" }, V "\"resize\","
		  "\"guest\":\"g\",\"device\":\"d\",\"size\":512}" },
		{ { "resize", "g", "d", "3k" }, V "\"resize\","
		  "\"guest\":\"g\",\"device\":\"d\",\"size\":3072}" },
		{ { "resize", "g", "d", "1M" }, V "\"resize\","
		  "\"guest\":\"g\",\"device\":\"d\",\"size\":1048576}" },
		{ { "resize", "g", "d", "20G" }, V "\"resize\","
		  "\"guest\":\"g\",\"device\":\"d\",\"size\":21474836480}" },
		{ { "resize", "g", "d", "8388607T" }, V "\"resize\",\"guest\":"
		  "\"g\",\"device\":\"d\",\"size\":9223370937343148032}" },
		{ { "link", "g", "d", "up" }, V "\"link\","
		  "\"guest\":\"g\",\"device\":\"d\",\"up\":true}" },
		{ { "link", "g", "d", "down" }, V "\"link\","
		  "\"guest\":\"g\",\"device\":\"d\",\"up\":false}" },
		{ { "reload" }, V "\"reload\"}" },
		{ { "--timeout", "9", "reload" }, V "\"reload\"}" },
	};
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		DAEMON(OK);
		r = run_args(good[i].args);
		assert_string_equal(t.shared->requests[0], good[i].request);
		assert_string_equal(t.err, "");
		assert_int_equal(r, 0);
	}
}

/* ---- tables and JSON ---- */

#define RESULT(r)	"{\"ok\":true,\"result\":" r "}\n"

#define LIST "{\"guests\":[{\"domid\":5,\"name\":\"web1\",\"type\":\"pvh\"," \
	"\"worker\":{\"pid\":123,\"state\":\"running\"},\"devices\":[" \
	"{\"name\":\"vblk0\",\"kind\":\"blk\",\"bdf\":\"00:18.0\"," \
	"\"state\":\"running\",\"origin\":\"disk=\"," \
	"\"what\":\"/dev/vg0/web1\"}," \
	"{\"name\":\"vnet1\",\"kind\":\"net\",\"bdf\":\"00:19.0\"," \
	"\"state\":\"opening\",\"origin\":\"attach\"," \
	"\"what\":\"xenbr0\"}]}," \
	"{\"domid\":12,\"name\":\"\xc3\xa9t\xc3\xa9\",\"type\":\"hvm\"," \
	"\"worker\":{\"state\":\"starting\"},\"devices\":[]}]}"

static void test_list(void **state)
{
	(void)state;
	DAEMON(RESULT(LIST), RESULT(LIST), RESULT(LIST), RESULT(LIST),
	       RESULT(LIST), RESULT("{\"guests\":[]}"));
	assert_int_equal(RUN("list"), 0);
	assert_string_equal(t.out,
"ID  GUEST  TYPE  WORKER    DEVICE  BDF      STATE    ORIGIN  WHAT\n"
" 5  web1   pvh   running   vblk0   00:18.0  running  disk=   /dev/vg0/web1\n"
" 5  web1   pvh   running   vnet1   00:19.0  opening  attach  xenbr0\n"
"12  \xc3\xa9t\xc3\xa9    hvm   starting  -       -        -        -       "
"-\n");
	assert_string_equal(t.err, "");
	assert_int_equal(RUN("list", "--json"), 0);
	assert_string_equal(t.out, LIST "\n");
	assert_string_equal(t.err, "");

	assert_int_equal(RUN("list", "12"), 0);
	assert_string_equal(t.out,
"ID  GUEST  TYPE  WORKER    DEVICE  BDF  STATE  ORIGIN  WHAT\n"
"12  \xc3\xa9t\xc3\xa9    hvm   starting  -       -    -      -       -\n");
	assert_int_equal(RUN("--json", "list", "\xc3\xa9t\xc3\xa9"), 0);
	assert_memory_equal(t.out, "{\"guests\":[{\"domid\":12,", 23);
	expect_error(RUN("list", "web"), 1, "guest 'web': xen-virtiod serves "
		     "none of this name or id; see xen-virtioctl list");
	assert_int_equal(RUN("list"), 0);
	assert_string_equal(t.out, "ID  GUEST  TYPE  WORKER  DEVICE  BDF  "
			    "STATE  ORIGIN  WHAT\n");
}

static void test_show(void **state)
{
	static const char reply[] = RESULT("{\"guests\":[{\"domid\":5,"
		"\"name\":\"web1\",\"worker\":{\"pid\":7,\"state\":\"dead\"},"
		"\"devices\":[{\"name\":\"vblk0\",\"kind\":\"blk\","
		"\"bytes\":10737418240,\"block_size\":512,\"readonly\":false,"
		"\"limits\":{\"iops\":100,\"x\":{\"max_bytes\":1024}},"
		"\"new\":[1,\"a\"],\"none\":null,\"what\":\"a\\nb\\u009b\"},"
		"{\"name\":\"vnet0\",\"link\":\"up\"}]}]}");

	(void)state;
	DAEMON(reply, reply);
	assert_int_equal(RUN("show", "web1"), 0);
	assert_string_equal(t.out,
"web1\n"
"    domid         5\n"
"    worker.pid    7\n"
"    worker.state  dead\n"
"  vblk0\n"
"    kind                blk\n"
"    bytes               10.0 GiB (10737418240)\n"
"    block_size          512\n"
"    readonly            no\n"
"    limits.iops         100\n"
"    limits.x.max_bytes  1.0 KiB (1024)\n"
"    new                 [ 1, \"a\" ]\n"
"    none                -\n"
"    what                a\\x0ab\\xc2\\x9b\n"
"  vnet0\n"
"    link  up\n");
	assert_int_equal(RUN("show", "web1", "--json"), 0);
	assert_non_null(strstr(t.out, "\"what\":\"a\\nb\\\\xc2\\\\x9b\""));
}

#define STATS(reads, bytes, packets) RESULT("{\"guests\":[{\"domid\":5," \
	"\"name\":\"web1\",\"devices\":[{\"name\":\"vblk0\"," \
	"\"bdf\":\"00:18.0\",\"stats\":{\"read_requests\":" reads "," \
	"\"read_bytes\":" bytes "}},{\"name\":\"vnet1\",\"bdf\":\"00:19.0\"," \
	"\"stats\":{\"rx_packets\":" packets "}},{\"name\":\"vblk2\"," \
	"\"stats\":{\"read_requests\":7,\"read_bytes\":0}}]}]}")

static void test_stats(void **state)
{
	(void)state;
	DAEMON(STATS("1", "512", "12345"), STATS("1", "512", "2"));
	assert_int_equal(RUN("stats"), 0);
	assert_string_equal(t.out,
"GUEST  DEVICE  BDF      COUNTER        VALUE\n"
"web1   vblk0   00:18.0  read_requests      1\n"
"web1   vblk0   00:18.0  read_bytes       512\n"
"web1   vnet1   00:19.0  rx_packets     12345\n"
"web1   vblk2   -        read_requests      7\n"
"web1   vblk2   -        read_bytes         0\n");
	assert_int_equal(RUN("stats", "--json"), 0);
	assert_memory_equal(t.out, "{\"guests\":[{\"domid\":5,", 22);
}

/*
 * Digits become one #, and so do blanks: the interval is never quite what it
 * is to be.
 */
static void blur(char *text)
{
	char *to = text, last = '\0', c;

	for (; *text; text++) {
		c = *text >= '0' && *text <= '9' ? '#' : *text;
		if (c != last || (c != '#' && c != ' '))
			*to++ = c;
		last = c;
	}
	*to = '\0';
}

static void test_rates(void **state)
{
	char *rates;

	(void)state;
	DAEMON(STATS("1", "0", "100"), STATS("2001", "4096000", "50"));
	/* The third time nobody is there any more. */
	assert_int_equal(RUN("stats", "--interval", "0.1"), 1);
	assert_int_equal(t.shared->count, 2);
	assert_non_null(strstr(t.err, "connection refused"));
	rates = strstr(t.out, "\nGUEST  DEVICE  read") ?: t.out;
	blur(rates);
	assert_string_equal(rates, "\n"
"GUEST DEVICE read_requests/s read_bytes/s\n"
"web# vblk# #.# #.# MiB\n"
"web# vblk# #.# # B\n"
"GUEST DEVICE rx_packets/s\n"
"web# vnet# -\n\n");

	DAEMON(OK, OK, OK);
	assert_int_equal(RUN("stats", "--interval", "0.1", "--json"), 1);
	assert_string_equal(t.out, "{}\n{}\n{}\n");
}

static void test_small_results(void **state)
{
	(void)state;
	DAEMON(RESULT("{\"device\":{\"name\":\"vblk1\",\"bdf\":\"00:1a.0\"}}"),
	       RESULT("{\"bytes\":21474836480}"), RESULT("{\"bytes\":512}"),
	       OK, OK, OK);
	assert_int_equal(RUN("attach", "web1", "blk,path=/x"), 0);
	assert_string_equal(t.out, "web1  vblk1  00:1a.0\n");
	assert_int_equal(RUN("resize", "web1", "vblk1"), 0);
	assert_string_equal(t.out, "web1  vblk1  20.0 GiB (21474836480)\n");
	assert_int_equal(RUN("resize", "web1", "vblk1", "--json"), 0);
	assert_string_equal(t.out, "{\"bytes\":512}\n");
	assert_int_equal(RUN("detach", "web1", "vblk1"), 0);
	assert_string_equal(t.out, "");
	assert_int_equal(RUN("link", "web1", "vnet1", "down"), 0);
	assert_string_equal(t.out, "");
	assert_int_equal(RUN("reload"), 0);
	assert_string_equal(t.out, "");
}

/* Members of any other type than is expected: no crash, and no lie. */
static void test_odd_results(void **state)
{
	static const char *const odd[] = {
		"{\"guests\":5}",
		"{\"guests\":{}}",
		("{\"guests\":[5,[],\"x\",true,{\"devices\":[7,{\"name\":[],"
		 "\"stats\":9},{\"stats\":{\"a\":{\"b\":[]},\"c\":null,"
		 "\"d\":-1}}],\"worker\":[],\"name\":{\"a\":1}}]}"),
		"{\"device\":[],\"bytes\":\"x\"}",
		"{\"bytes\":-1e300,\"device\":{\"name\":null}}",
		("{\"guests\":[{\"devices\":[{\"stats\":{}}]},{\"devices\":"
		 "[{\"stats\":{\"a\":9223372036854775807}}]}]}"),
	};
	static const char *const commands[][5] = {
		{ "list" }, { "show", "g" }, { "stats" }, { "list", "--json" },
		{ "attach", "g", "x" }, { "resize", "g", "x" },
		{ "stats", "--interval", "0.1" },
	};
	char reply[1000];
	size_t i, j;
	int r;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		snprintf(reply, sizeof(reply), RESULT("%s"), odd[i]);
		for (j = 0; j < ARRAY_SIZE(commands); j++) {
			DAEMON(reply, reply);
			r = run_args(commands[j]);
			assert_int_equal(r, j == 6);
			assert_int_equal(t.shared->count, j == 6 ? 2 : 1);
		}
	}
}

static int open_terminal(unsigned short columns, int *ret_slave)
{
	struct winsize ws = { .ws_row = 25, .ws_col = columns };
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios tio;

	if (master < 0)
		skip();			/* a chroot without /dev/pts */
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	*ret_slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*ret_slave >= 0);
	assert_int_equal(tcgetattr(*ret_slave, &tio), 0);
	cfmakeraw(&tio);
	assert_int_equal(tcsetattr(*ret_slave, TCSANOW, &tio), 0);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &ws), 0);
	return master;
}

static void test_terminal(void **state)
{
	char text[4096];
	int master, slave;
	ssize_t n;

	(void)state;
	DAEMON(RESULT(LIST));
	master = open_terminal(70, &slave);
	run_to((const char *const[]){ "list", "web1", NULL }, slave);
	n = read(master, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text,
"ID  GUEST  TYPE  WORKER   DEVICE  BDF      STATE    ORIGIN  WHAT\n"
" 5  web1   pvh   running  vblk0   00:18.0  running  disk=   /dev/vg...\n"
" 5  web1   pvh   running  vnet1   00:19.0  opening  attach  xenbr0\n");
	close(slave);
	close(master);
}

/* ---- errors ---- */

static void test_daemon_errors(void **state)
{
	char *much = malloc((16 << 20) + 4096), want[300];

	(void)state;
	assert_non_null(much);
	DAEMON("{\"ok\":false,\"error\":\"guest 'x\\n\\u001b[2J': none\"}\n",
	       "{\"ok\":false}\n", "{}\n", "{\"ok\":true,\"result\":[]}\n",
	       "{\"ok\":\"yes\",\"result\":{}}\n", "", "{\"ok\":true",
	       "hello\n");
	expect_error(RUN("show", "x"), 1, "guest 'x\\x0a\\x1b[2J': none");
	expect_error(RUN("show", "x", "--json"), 1, "xen-virtiod answered "
		     "neither with a result nor an error");
	expect_error(RUN("show", "x"), 1, "xen-virtiod answered neither with "
		     "a result nor an error");
	expect_error(RUN("show", "x"), 1, "xen-virtiod answered neither with "
		     "a result nor an error");
	expect_error(RUN("show", "x"), 1, "xen-virtiod answered neither with "
		     "a result nor an error");
	snprintf(want, sizeof(want), "xen-virtiod at %s hung up without an "
		 "answer; its log may say why", t.path);
	expect_error(RUN("list"), 1, want);
	expect_error(RUN("list"), 1, want);
	snprintf(want, sizeof(want), "what answers at %s is not xen-virtiod: "
		 "a line of JSON was expected", t.path);
	expect_error(RUN("list"), 1, want);

	memset(much, ' ', (16 << 20) + 4095);
	much[(16 << 20) + 4095] = '\0';
	DAEMON(much);
	snprintf(want, sizeof(want), "what answers at %s is not xen-virtiod: "
		 "the answer is longer than 16777216 bytes", t.path);
	expect_error(RUN("list"), 1, want);
	free(much);
}

static void test_unreachable(void **state)
{
	char want[300];

	(void)state;
	snprintf(want, sizeof(want), "cannot reach xen-virtiod at %s: there "
		 "is no such socket; is xen-virtiod.service running?", t.path);
	expect_error(RUN("list"), 1, want);

	close(listen_at(t.path));
	snprintf(want, sizeof(want), "cannot reach xen-virtiod at %s: "
		 "connection refused; is xen-virtiod.service running?",
		 t.path);
	expect_error(RUN("list"), 1, want);

	memset(t.path, 'x', sizeof(t.path) - 1);
	(void)RUN("--socket", t.dir, "list");
	assert_non_null(strstr(t.err, "cannot reach xen-virtiod at /tmp/"));
	snprintf(t.path, sizeof(t.path), "%s/sock", t.dir);
}

static void test_no_permission(void **state)
{
	int out = memfd_create("out", MFD_CLOEXEC), status;
	char want[300], path[] = "/tmp/xvd-ctl-bin-XXXXXX", cmd[400];
	pid_t pid;

	(void)state;
	if (getuid() != 0)
		skip();
	DAEMON(OK);
	assert_int_equal(chmod(t.path, 0600), 0);
	assert_int_equal(chmod(t.dir, 0755), 0);
	close(mkstemp(path));		/* our tree may be closed to others */
	snprintf(cmd, sizeof(cmd), "cp %s %s && chmod 755 %s", CTL_BIN, path,
		 path);
	assert_int_equal(system(cmd), 0);
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)dup2(out, STDERR_FILENO);
		if (setgid(65534) == 0 && setuid(65534) == 0)
			(void)execl(path, path, "--socket", t.path, "list",
				    NULL);
		_exit(90);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)unlink(path);
	(void)read_all(out, t.err, sizeof(t.err));
	snprintf(want, sizeof(want), "cannot reach xen-virtiod at %s: "
		 "permission denied; are you root, or in the group of "
		 "control-group=?", t.path);
	expect_error(WEXITSTATUS(status), 1, want);
}

static void test_full(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	DAEMON(RESULT(LIST), RESULT(LIST));
	run_to((const char *const[]){ "list", NULL }, full);
	expect_error(WEXITSTATUS(t.status), 1, "the result cannot be written: "
		     "No space left on device");
	run_to((const char *const[]){ "list", "--json", NULL }, full);
	assert_int_equal(WEXITSTATUS(t.status), 1);
	close(full);
}

/* ---- time ---- */

static void test_slow(void **state)
{
	char want[300];

	(void)state;
	start_daemon((const char *const[]){ OK, NULL }, 2300);
	assert_int_equal(RUN("attach", "web1", "blk,path=/x", "--json"), 0);
	assert_string_equal(t.out, "{}\n");
	assert_string_equal(t.err, "xen-virtioctl: waiting for xen-virtiod to "
			    "attach the device to 'web1'\n");

	start_daemon((const char *const[]){ OK, NULL }, 5000);
	snprintf(want, sizeof(want), "no answer from xen-virtiod at %s within "
		 "0.2 s; it may still reload its configuration", t.path);
	expect_error(RUN("--timeout", "0.2", "reload"), 1, want);
	start_daemon((const char *const[]){ OK, NULL }, 5000);
	snprintf(want, sizeof(want), "no answer from xen-virtiod at %s within "
		 "0.5 s", t.path);
	expect_error(RUN("--timeout=.5", "list"), 1, want);
}

/* Starts it, waits for the request to arrive, and sends a signal. */
static void run_and_kill(const char *const *args, int requests, int signo)
{
	int out = memfd_create("out", MFD_CLOEXEC);
	int err = memfd_create("err", MFD_CLOEXEC);
	pid_t pid = start_client(args, out, err);
	volatile int *count = &t.shared->count;

	while (*count < requests)
		usleep(1000);
	usleep(50000);			/* the answer, too */
	assert_int_equal(kill(pid, signo), 0);
	assert_int_equal(waitpid(pid, &t.status, 0), pid);
	(void)read_all(out, t.out, sizeof(t.out));
	(void)read_all(err, t.err, sizeof(t.err));
}

static void test_interrupted(void **state)
{
	(void)state;
	start_daemon((const char *const[]){ OK, NULL }, 9000);
	run_and_kill((const char *const[]){ "detach", "a", "b", NULL }, 1,
		     SIGINT);
	assert_true(WIFSIGNALED(t.status) && WTERMSIG(t.status) == SIGINT);
	assert_string_equal(t.err, "xen-virtioctl: interrupted: what "
			    "xen-virtiod has begun it goes on with\n");
	start_daemon((const char *const[]){ OK, NULL }, 9000);
	run_and_kill((const char *const[]){ "list", NULL }, 1, SIGTERM);
	assert_true(WIFSIGNALED(t.status) && WTERMSIG(t.status) == SIGTERM);
	assert_string_equal(t.err, "");

	DAEMON(OK, OK, OK);
	run_and_kill((const char *const[]){ "stats", "--interval", "0.1",
					    "--json", NULL }, 2, SIGINT);
	assert_true(WIFEXITED(t.status));
	assert_int_equal(WEXITSTATUS(t.status), 0);
	assert_string_equal(t.out, "{}\n{}\n");
	assert_string_equal(t.err, "");
}

/* ---- the daemon's real side ---- */

static void echo(void *arg, struct control_call *call,
		 struct json_object *request)
{
	struct json_object *result;

	(void)arg;
	if (strcmp(json_object_get_string(json_object_object_get(request,
					"command")), "reload") == 0) {
		control_refuse(call, "line 7: 'x'\n: use y");
		return;
	}
	result = json_object_new_object();
	json_object_object_add(result, "request", json_object_get(request));
	control_answer(call, result);
}

static void start_control(void)
{
	struct control *control;
	struct loop *loop;
	char why[256];
	int up[2];
	char c;

	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	(void)fflush(NULL);
	t.daemon = fork();
	if (t.daemon == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		if (loop_open(&loop) < 0 ||
		    control_open(loop, t.path, NULL, echo, NULL, &control, why,
				 sizeof(why)) < 0 || write(up[1], "", 1) != 1)
			_exit(1);
		(void)loop_run(loop);
		_exit(0);
	}
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	close(up[0]);
}

static void test_control(void **state)
{
	static char spec[70000];

	(void)state;
	start_control();
	assert_int_equal(RUN("stats", "\xc3\xa9", "a\nb", "--json"), 0);
	assert_string_equal(t.out, "{\"request\":{\"version\":1,\"command\":"
		"\"stats\",\"guest\":\"\xc3\xa9\",\"device\":\"a\\nb\"}}\n");
	expect_error(RUN("reload"), 1, "line 7: 'x'\\x0a: use y");
	assert_int_equal(RUN("stats", "\xff"), 1);
	assert_non_null(strstr(t.err, "(invalid utf-8 string)"));
	memset(spec, 'x', sizeof(spec) - 1);
	expect_error(RUN("attach", "web1", spec), 1, "the request is too "
		     "long: use up to 65536 bytes in one line");
}

/* ---- completion ---- */

/* What Bash offers for @line, whose words are divided by blanks. */
static const char *complete(const char *line)
{
	static char text[4096], script[4096];
	size_t n;
	FILE *f;

	snprintf(script, sizeof(script), "bash -c '"
		 ". completion/xen-virtioctl;"
		 "xen-virtioctl() { %s --socket %s \"$@\"; };"
		 "mapfile -t -d \" \" COMP_WORDS < <(printf %%s \"$1\");"
		 "COMP_CWORD=$((${#COMP_WORDS[@]} - 1));"
		 "[[ $1 == *\" \" ]] && COMP_WORDS+=(\"\") && ((COMP_CWORD++));"
		 "_xen_virtioctl; echo \"${COMPREPLY[*]}\""
		 "' bash '%s' 2>&1", CTL_BIN, t.path, line);
	f = popen(script, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	assert_true(n > 0);
	text[n - 1] = '\0';		/* the newline */
	(void)pclose(f);
	return text;
}

#define HOSTILE	"{\"guests\":[{\"devices\":[{\"bdf\":\"x\",\"limits\":" \
	"{\"name\":\"no\"},\"name\":\"vblk0\"},{\"name\":\"vnet1\"," \
	"\"what\":\"\\\"name\\\":\\\"no\\\"\"}],\"worker\":{\"name\":\"no\"}," \
	"\"domid\":5,\"name\":\"web1\"},{\"name\":\"w$(touch no)\"," \
	"\"devices\":[]},{\"name\":\"we;`no`\"},{\"name\":\"w\\\"x\"}," \
	"{\"name\":\"name\",\"devices\":[{\"name\":\"vblk9\"}]}]}"

static void test_completion(void **state)
{
	static const struct {
		const char *line, *offered;
	} c[] = {
		{ "xen-virtioctl re", "reload resize" },
		{ "xen-virtioctl ", "attach detach guest-dtb link list reload resize "
		  "show stats" },
		{ "xen-virtioctl --json l", "link list" },
		{ "xen-virtioctl --t", "--timeout" },
		{ "xen-virtioctl list --", "--help --interval --json --socket "
		  "--timeout --version" },
		{ "xen-virtioctl --timeout 3 rel", "reload" },
		{ "xen-virtioctl --timeout = 3 rel", "reload" },
		{ "xen-virtioctl --timeout ", "" },
		{ "xen-virtioctl --socket /dev/nul", "/dev/null" },
		{ "xen-virtioctl --socket = /dev/nul", "/dev/null" },
		{ "xen-virtioctl attach web1 ", "blk, net," },
		{ "xen-virtioctl guest-dtb net, ", "blk, net," },
		{ "xen-virtioctl link web1 vnet1 d", "down" },
		{ "xen-virtioctl reload ", "" },
		{ "xen-virtioctl list web1 ", "" },
	};
	static const struct {
		const char *line, *offered;
	} asked[] = {
		{ "xen-virtioctl list we", "web1 we\\;\\`no\\`" },
		{ "xen-virtioctl show ", "web1 we\\;\\`no\\` name" },
		{ "xen-virtioctl show web1 ", "vblk0 vnet1" },
		{ "xen-virtioctl detach web1 vn", "vnet1" },
		{ "xen-virtioctl resize --json name ", "vblk9" },
		{ "xen-virtioctl link we ", "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(c); i++)
		assert_string_equal(complete(c[i].line), c[i].offered);
	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		DAEMON(RESULT(HOSTILE));
		assert_string_equal(complete(asked[i].line), asked[i].offered);
		assert_string_equal(t.shared->requests[0], V "\"list\"}");
	}
	stop_daemon();			/* nobody is there */
	assert_string_equal(complete("xen-virtioctl show "), "");
}

#define CTL_TEST(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	CTL_TEST(test_usage),
	CTL_TEST(test_help),
	CTL_TEST(test_dtb),
	CTL_TEST(test_dtb_devices),
	CTL_TEST(test_requests),
	CTL_TEST(test_list),
	CTL_TEST(test_show),
	CTL_TEST(test_stats),
	CTL_TEST(test_rates),
	CTL_TEST(test_small_results),
	CTL_TEST(test_odd_results),
	CTL_TEST(test_terminal),
	CTL_TEST(test_daemon_errors),
	CTL_TEST(test_unreachable),
	CTL_TEST(test_no_permission),
	CTL_TEST(test_full),
	CTL_TEST(test_slow),
	CTL_TEST(test_interrupted),
	CTL_TEST(test_control),
	CTL_TEST(test_completion),
};

UNIT_MAIN(tests)
