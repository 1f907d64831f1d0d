/* SPDX-License-Identifier: MIT */
/*
 * test_msg.c: what supervisor and worker say to each other, and all that is
 * no such thing.  Who gets something wrong gets nothing: no message, and no
 * descriptor left open.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "msg.h"
#include "unit.h"

static int pair[2];		/* supervisor, worker */
static const struct msg_stop stop = { 1 };

static int setup(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- what is right ---- */

static void test_start(void **state)
{
	const struct msg_start start = { 7, 1, 0x55, 1, 1000, 1, 1 };
	struct msg msg;
	int fd = open("/dev/null", O_RDONLY);

	(void)state;
	assert_int_equal(msg_send(pair[0], MSG_START, &start, &fd, 1, true),
			 0);
	assert_int_equal(msg_recv(pair[1], MSG_FROM_SUPERVISOR, true, &msg),
			 0);
	assert_int_equal(msg.head.type, MSG_START);
	assert_memory_equal(&msg.start, &start, sizeof(start));
	assert_int_equal(msg.head.nfds, 1);
	assert_int_not_equal(msg.fds[0], fd);
	assert_int_equal(fcntl(msg.fds[0], F_GETFD), FD_CLOEXEC);
	close(msg.fds[0]);
	close(fd);
}

/* As many descriptors as a device may have, in their order. */
static void test_device(void **state)
{
	struct devdesc desc = { .kind = DEVSPEC_NET, .domid = 9 };
	int fds[MSG_MAX_FDS];
	struct msg msg;
	char c;
	int i;

	(void)state;
	memset(&desc.net, 'n', sizeof(desc.net));
	for (i = 0; i < MSG_MAX_FDS; i++) {
		fds[i] = memfd_create("fd", MFD_CLOEXEC);
		c = (char)('a' + i);
		assert_int_equal(pwrite(fds[i], &c, 1, 0), 1);
	}
	assert_int_equal(msg_send(pair[0], MSG_DEVICE, &desc, fds,
				  MSG_MAX_FDS, true), 0);
	assert_int_equal(msg_send(pair[0], MSG_DEVICE, &desc, NULL, 0, true),
			 0);
	assert_int_equal(msg_recv(pair[1], MSG_FROM_SUPERVISOR, true, &msg),
			 0);
	assert_memory_equal(&msg.device, &desc, sizeof(desc));
	assert_int_equal(msg.head.nfds, MSG_MAX_FDS);
	for (i = 0; i < MSG_MAX_FDS; i++) {
		assert_int_equal(pread(msg.fds[i], &c, 1, 0), 1);
		assert_int_equal(c, 'a' + i);
		close(msg.fds[i]);
		close(fds[i]);
	}
	assert_int_equal(msg_recv(pair[1], MSG_FROM_SUPERVISOR, true, &msg),
			 0);
	assert_int_equal(msg.head.nfds, 0);
}

static void test_no_body(void **state)
{
	struct msg msg;

	(void)state;
	assert_int_equal(msg_send(pair[1], MSG_READY, NULL, NULL, 0, false),
			 0);
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, false, &msg), 0);
	assert_int_equal(msg.head.type, MSG_READY);
}

/* Of which device it is said, in both directions. */
static void test_about(void **state)
{
	static const struct {
		enum msg_type	type;
		enum msg_from	from;
	} t[] = {
		{ MSG_DETACH, MSG_FROM_SUPERVISOR },
		{ MSG_LINK, MSG_FROM_SUPERVISOR },
		{ MSG_RESIZE, MSG_FROM_SUPERVISOR },
		{ MSG_ADDED, MSG_FROM_WORKER },
		{ MSG_RUNNING, MSG_FROM_WORKER },
		{ MSG_DETACHED, MSG_FROM_WORKER },
	};
	struct msg_about about = { 0 };
	struct msg msg;
	unsigned int i;
	bool up;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		up = t[i].from == MSG_FROM_WORKER;
		about.index = 0xfffffff0u + i;
		about.up = i % 2;
		about.bytes = 1ull << (40 + i);
		assert_int_equal(msg_send(pair[up], t[i].type, &about, NULL, 0,
					  false), 0);
		assert_int_equal(msg_recv(pair[!up], t[i].from, false, &msg),
				 0);
		assert_int_equal(msg.head.type, t[i].type);
		assert_int_equal(msg.head.nfds, 0);
		assert_memory_equal(&msg.about, &about, sizeof(about));
	}
}

static void check_text(enum msg_type type)
{
	struct msg_text text = { -ENOSPC, 5, "no room" };
	struct msg msg;

	assert_int_equal(msg_send(pair[1], type, &text, NULL, 0, true), 0);
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, true, &msg), 0);
	assert_int_equal(msg.head.type, type);
	assert_int_equal(msg.text.code, -ENOSPC);
	assert_int_equal(msg.text.index, 5);
	assert_string_equal(msg.text.text, "no room");
	/* the last byte is the zero's */
	memset(text.text, 'x', sizeof(text.text));
	assert_int_equal(msg_send(pair[1], type, &text, NULL, 0, true), 0);
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, true, &msg),
			 -EBADMSG);
	text.text[sizeof(text.text) - 1] = '\0';
	assert_int_equal(msg_send(pair[1], type, &text, NULL, 0, true), 0);
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, true, &msg), 0);
}

static void test_text(void **state)
{
	(void)state;
	check_text(MSG_FAILED);
	check_text(MSG_REFUSED);
}

static void test_none(void **state)
{
	struct msg msg;

	(void)state;
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, false, &msg),
			 -EAGAIN);
	close(pair[1]);
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, true, &msg),
			 -EPIPE);
	assert_int_equal(msg_send(pair[0], MSG_STOP, &stop, NULL, 0, true),
			 -EPIPE);
	pair[1] = -1;
}

/* Its last words are heard, also if it did not listen to ours. */
static void test_last_words(void **state)
{
	struct msg_text text = { -ENOSPC, 0, "no room" };
	struct msg msg;

	(void)state;
	assert_int_equal(msg_send(pair[0], MSG_STOP, &stop, NULL, 0, true), 0);
	assert_int_equal(msg_send(pair[1], MSG_FAILED, &text, NULL, 0, true),
			 0);
	close(pair[1]);
	pair[1] = -1;
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, true, &msg), 0);
	assert_string_equal(msg.text.text, "no room");
	assert_int_equal(msg_recv(pair[0], MSG_FROM_WORKER, true, &msg),
			 -EPIPE);
}

static void test_send_to_nobody(void **state)
{
	(void)state;
	assert_int_equal(msg_send(pair[0], MSG_STOP, &stop, NULL, 0, true), 0);
	close(pair[1]);
	pair[1] = -1;
	assert_int_equal(msg_send(pair[0], MSG_STOP, &stop, NULL, 0, true),
			 -EPIPE);
	assert_int_equal(msg_send(pair[0], MSG_STOP, &stop, NULL, 0, true),
			 -EPIPE);
}

/* Who does not listen stops nobody. */
static void test_full(void **state)
{
	struct msg_text text = { -EIO, 0, "again" };
	int i, r = 0;

	(void)state;
	for (i = 0; i < 100000 && !r; i++)
		r = msg_send(pair[1], MSG_FAILED, &text, NULL, 0, false);
	assert_int_equal(r, -EAGAIN);
}

/* ---- what is wrong ---- */

struct raw {
	struct msg_head	head;
	char		body[4096];
};

static struct raw good(enum msg_type type, size_t bytes, unsigned int nfds)
{
	return (struct raw){
		.head = { MSG_MAGIC, MSG_VERSION, (uint16_t)type,
			  (uint32_t)bytes, nfds },
	};
}

/*
 * Sends @len bytes with @nfds descriptors.  Return: what the receiver makes of
 * it.  Nothing stays open, unless it is a message.
 */
static int try(enum msg_from from, const struct raw *raw, size_t len,
	       unsigned int nfds)
{
	struct iovec iov = { (void *)(uintptr_t)raw, len };
	union {
		struct cmsghdr	c;
		char		room[CMSG_SPACE(32 * sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool up = from == MSG_FROM_WORKER;
	unsigned int i, before = count_fds();
	struct msg msg;
	int r;

	if (nfds) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.c.cmsg_level = SOL_SOCKET;
		control.c.cmsg_type = SCM_RIGHTS;
		control.c.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (i = 0; i < nfds; i++)
			((int *)(void *)CMSG_DATA(&control.c))[i] = pair[0];
	}
	assert_int_equal(sendmsg(pair[up], &mh, 0), len);
	memset(&msg, 0xee, sizeof(msg));
	r = msg_recv(pair[!up], from, false, &msg);
	for (i = 0; r == 0 && i < msg.head.nfds; i++)
		close(msg.fds[i]);
	assert_int_equal(count_fds(), before);
	return r;
}

#define HEAD		sizeof(struct msg_head)
#define START_LEN	sizeof(struct msg_start)
#define DEVICE_LEN	sizeof(struct devdesc)
#define ABOUT_LEN	sizeof(struct msg_about)
#define TEXT_LEN	sizeof(struct msg_text)

/* Every length but the one, of every type. */
static void test_lengths(void **state)
{
	static const struct {
		enum msg_type	type;
		enum msg_from	from;
		size_t		bytes;
		unsigned int	nfds;
	} t[] = {
		{ MSG_START, MSG_FROM_SUPERVISOR, START_LEN, 1 },
		{ MSG_DEVICE, MSG_FROM_SUPERVISOR, DEVICE_LEN, 1 },
		{ MSG_DETACH, MSG_FROM_SUPERVISOR, ABOUT_LEN, 0 },
		{ MSG_LINK, MSG_FROM_SUPERVISOR, ABOUT_LEN, 0 },
		{ MSG_RESIZE, MSG_FROM_SUPERVISOR, ABOUT_LEN, 0 },
		{ MSG_STOP, MSG_FROM_SUPERVISOR, sizeof(stop), 0 },
		{ MSG_READY, MSG_FROM_WORKER, 0, 0 },
		{ MSG_FAILED, MSG_FROM_WORKER, TEXT_LEN, 0 },
		{ MSG_ADDED, MSG_FROM_WORKER, ABOUT_LEN, 0 },
		{ MSG_REFUSED, MSG_FROM_WORKER, TEXT_LEN, 0 },
		{ MSG_RUNNING, MSG_FROM_WORKER, ABOUT_LEN, 0 },
		{ MSG_DETACHED, MSG_FROM_WORKER, ABOUT_LEN, 0 },
	};
	struct raw raw;
	size_t i, len;
	int want;

	(void)state;
	assert_int_equal(sizeof(t) / sizeof(t[0]), MSG_DETACHED);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		raw = good(t[i].type, t[i].bytes, t[i].nfds);
		for (len = 1; len < sizeof(raw); len++) {
			want = len == HEAD + t[i].bytes ? 0 : -EMSGSIZE;
			if (try(t[i].from, &raw, len, t[i].nfds) != want)
				fail_msg("type %u, %zu bytes", t[i].type, len);
		}
		/* and where the head says what is true and wrong */
		raw.head.bytes++;
		assert_int_equal(try(t[i].from, &raw, HEAD + t[i].bytes + 1,
				     t[i].nfds), -EMSGSIZE);
		assert_int_equal(try(t[i].from, &raw, HEAD + t[i].bytes,
				     t[i].nfds), -EMSGSIZE);
	}
}

static void test_heads(void **state)
{
	struct raw raw = good(MSG_START, START_LEN, 1);

	(void)state;
	assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw, HEAD + START_LEN, 1),
			 0);
	raw.head.magic ^= 1;
	assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw, HEAD + START_LEN, 1),
			 -EPROTO);
	raw = good(MSG_START, START_LEN, 1);
	raw.head.version++;
	assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw, HEAD + START_LEN, 1),
			 -EPROTONOSUPPORT);
	/* of whatever length that is there */
	assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw, HEAD, 0),
			 -EPROTONOSUPPORT);
}

/* Each kind goes one way, and there are no others. */
static void test_directions(void **state)
{
	struct raw raw;
	unsigned int i;

	(void)state;
	for (i = 0; i < 0x10000; i = i < 64 ? i + 1 : i * 2) {
		raw = good((enum msg_type)i, 1, 0);	/* no kind is so long */
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw, HEAD, 0),
				 i >= MSG_START && i <= MSG_STOP ?
				 -EMSGSIZE : -EPROTO);
		assert_int_equal(try(MSG_FROM_WORKER, &raw, HEAD, 0),
				 i >= MSG_READY && i <= MSG_DETACHED ?
				 -EMSGSIZE : -EPROTO);
	}
}

static void test_descriptors(void **state)
{
	struct raw raw = good(MSG_START, START_LEN, 1);
	unsigned int i;

	(void)state;
	/* missing, too many, and more than there is room for */
	for (i = 0; i <= 32; i++)
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw,
				     HEAD + START_LEN, i),
				 i == 1 ? 0 : -EBADF);
	for (i = 0; i <= 32; i++) {
		raw = good(MSG_DEVICE, DEVICE_LEN, i);
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw,
				     HEAD + DEVICE_LEN, i),
				 i <= MSG_MAX_FDS ? 0 : -EBADF);
		raw.head.nfds++;
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw,
				     HEAD + DEVICE_LEN, i), -EBADF);
	}
	/* said and sent alike, and wrong all the same */
	for (i = 0; i <= MSG_MAX_FDS; i++) {
		raw = good(MSG_START, START_LEN, i);
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw,
				     HEAD + START_LEN, i),
				 i == 1 ? 0 : -EBADF);
		raw = good(MSG_DETACH, ABOUT_LEN, i);
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw,
				     HEAD + ABOUT_LEN, i), i ? -EBADF : 0);
		raw = good(MSG_LINK, ABOUT_LEN, i);
		assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw,
				     HEAD + ABOUT_LEN, i), i ? -EBADF : 0);
	}
	/* what the kernel has cut looks like the right number */
	raw = good(MSG_DEVICE, DEVICE_LEN, MSG_MAX_FDS);
	assert_int_equal(try(MSG_FROM_SUPERVISOR, &raw, HEAD + DEVICE_LEN,
			     MSG_MAX_FDS + 1), -EBADF);
	/* a worker has none to give */
	for (i = 0; i <= 32; i++) {
		raw = good(MSG_READY, 0, i);
		assert_int_equal(try(MSG_FROM_WORKER, &raw, HEAD, i),
				 i ? -EBADF : 0);
		raw = good(MSG_ADDED, ABOUT_LEN, i);
		assert_int_equal(try(MSG_FROM_WORKER, &raw, HEAD + ABOUT_LEN,
				     i), i ? -EBADF : 0);
	}
}

#define MSG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	MSG_TEST(test_start),
	MSG_TEST(test_device),
	MSG_TEST(test_no_body),
	MSG_TEST(test_about),
	MSG_TEST(test_text),
	MSG_TEST(test_none),
	MSG_TEST(test_last_words),
	MSG_TEST(test_send_to_nobody),
	MSG_TEST(test_full),
	MSG_TEST(test_lengths),
	MSG_TEST(test_heads),
	MSG_TEST(test_directions),
	MSG_TEST(test_descriptors),
};

UNIT_MAIN(tests)
