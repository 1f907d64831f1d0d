/* SPDX-License-Identifier: MIT */
/*
 * control.c: see the header.
 *
 * A connection is always in one of three states:
 *
 *	reading  -- a whole line -->  calling  -- an answer -->  writing
 *	   ^                                                        |
 *	   +--------------------  all of it is sent  ---------------+
 *
 * so there is at most one call and one answer for each, and what a client may
 * cost is bounded: a line of input, one answer, and sixteen of it all.  What
 * it sends while it is called or written to stays in its buffer, and then in
 * the kernel's.  Nothing here ever waits: whoever is neither called nor done
 * in a minute is cut off, whether it sends slowly, reads slowly or is silent.
 *
 * An answer only changes the state and defers the rest, because it may come
 * from within handle(); conn_advance() is the one place that goes on, and does
 * nothing any more with a connection that it has called or closed.
 *
 * A client that has closed its sending half is read no more but answered; one
 * that is gone altogether is closed at once, and its call orphaned.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <json-c/json.h>
#include "control.h"
#include "log.h"
#include "loop.h"
#include "util.h"

#define REPLY_BYTES	(4u << 20)
#define REQUEST_DEPTH	4		/* of which one is used */
#define WHY_BYTES	1024
#define PATIENCE_MS	60000
#define ACCEPT_PAUSE_MS	1000		/* when descriptors are short */
#define BURST_LINES	100
#define EXAMPLE		"{\"version\":1,\"command\":\"list\"}"

enum conn_state {
	CONN_READING,
	CONN_CALLING,
	CONN_WRITING,
};

struct control_conn {
	struct control		*control;
	int			fd;
	struct ucred		peer;
	struct loop_fd		*readable;
	struct loop_fd		*writable;	/* paused, or NULL as yet */
	struct loop_timer	*patience;
	struct loop_work	work;		/* an answer is there */
	enum conn_state		state;
	bool			eof;		/* it sends nothing more */
	bool			last;		/* close after this answer */
	struct control_call	*call;		/* while calling */
	char			*out;		/* while writing */
	size_t			out_len;
	size_t			out_done;
	size_t			in_len;
	char			in[CONTROL_REQUEST_BYTES + 1];
};

struct control_call {
	struct control_conn	*conn;		/* NULL: it has gone */
	struct json_object	*request;
};

struct control {
	struct loop		*loop;
	struct sockaddr_un	addr;
	struct stat		st;		/* of our socket in the tree */
	bool			bound;
	int			fd;
	struct loop_fd		*acceptable;
	struct loop_timer	*again;
	control_fn		handle;
	void			*arg;
	unsigned int		patience_ms;
	struct log_limit	limit;
	struct control_conn	*conns[CONTROL_CONNECTIONS];
};

/* ---- one request ---- */

/* JSON can say "\u0000" where strings of C end. */
static bool has_zero(const char *line, size_t len)
{
	size_t i;

	if (memchr(line, '\0', len))
		return true;
	for (i = 0; i + 1 < len; i++) {
		if (line[i] != '\\')
			continue;
		if (len - i >= 6 && memcmp(line + i, "\\u0000", 6) == 0)
			return true;
		i++;			/* whatever is quoted by it */
	}
	return false;
}

/* Return: the object, or NULL with @why. */
static struct json_object *parse_object(const char *line, size_t len,
					char *why, size_t why_len)
{
	struct json_tokener *tok = json_tokener_new_ex(REQUEST_DEPTH);
	struct json_object *obj;
	enum json_tokener_error err;

	if (!tok) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	obj = json_tokener_parse_ex(tok, line, (int)len);
	err = json_tokener_get_error(tok);
	if (err == json_tokener_continue)
		snprintf(why, why_len, "the request ends too early: send one "
			 "JSON object in one line, as in " EXAMPLE);
	else if (err != json_tokener_success)
		snprintf(why, why_len, "the request is not understood at byte "
			 "%zu (%s): send one JSON object in one line, as in "
			 EXAMPLE, json_tokener_get_parse_end(tok),
			 json_tokener_error_desc(err));
	else if (!json_object_is_type(obj, json_type_object))
		snprintf(why, why_len, "the request is no JSON object: send "
			 "one in one line, as in " EXAMPLE);
	json_tokener_free(tok);
	if (err == json_tokener_success &&
	    json_object_is_type(obj, json_type_object))
		return obj;
	json_object_put(obj);
	return NULL;
}

/* Has it what every request has?  Return: true, or false with @why. */
static bool check_object(struct json_object *obj, char *why, size_t why_len)
{
	struct json_object *version, *command;

	if (!json_object_object_get_ex(obj, "version", &version))
		snprintf(why, why_len, "version is missing: use %d",
			 CONTROL_VERSION);
	else if (!json_object_is_type(version, json_type_int) ||
		 json_object_get_int64(version) != CONTROL_VERSION)
		snprintf(why, why_len, "version %.64s: this daemon knows "
			 "version %d", json_object_get_string(version) ?: "null",
			 CONTROL_VERSION);
	else if (!json_object_object_get_ex(obj, "command", &command))
		snprintf(why, why_len, "command is missing: use a string, as "
			 "in " EXAMPLE);
	else if (!json_object_is_type(command, json_type_string))
		snprintf(why, why_len, "command %.64s: use a string, as in "
			 EXAMPLE, json_object_get_string(command) ?: "null");
	else
		return true;
	return false;
}

/* Return: how many bytes of @p are one character, 0 if they are none. */
static size_t utf8_take(const char *p, size_t left, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)*p;
	size_t i, n = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 :
		      first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
	uint32_t c = n > 1 ? first & 0x7fu >> n : first;

	if (n > left)
		return 0;
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	*ret = c;
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ?
	       0 : n;
}

/*
 * The same in ASCII: the tokener of json-c 0.18, when it is strict, takes every
 * other character for a control character.  What is not in a string is an
 * error this way, too.  Return: the text; or NULL, and in *ret_bad where it is
 * no UTF-8, @len if there is no memory.
 */
static char *ascii_of(const char *line, size_t len, size_t *ret_bad)
{
	char *text = malloc(3 * len + 1);	/* 4 bytes become 12 */
	size_t n, at, used = 0;
	uint32_t c = 0;

	*ret_bad = len;
	for (at = 0; text && at < len; at += n) {
		n = utf8_take(line + at, len - at, &c);
		if (n == 0) {
			*ret_bad = at;
			free(text);
			return NULL;
		}
		if (c < 0x80)
			text[used++] = (char)c;
		else if (c < 0x10000)
			used += (size_t)sprintf(text + used, "\\u%04x", c);
		else
			used += (size_t)sprintf(text + used, "\\u%04x\\u%04x",
						0xd7c0 + (c >> 10),
						0xdc00 + (c & 0x3ff));
	}
	if (text)
		text[used] = '\0';
	return text;
}

int control_parse(const char *line, size_t len, struct json_object **ret,
		  char *why, size_t why_len)
{
	struct json_object *obj;
	char *text;
	size_t bad;

	if (len > CONTROL_REQUEST_BYTES) {
		snprintf(why, why_len, "the request is too long: use up to %d "
			 "bytes in one line", CONTROL_REQUEST_BYTES);
		return -EINVAL;
	}
	if (has_zero(line, len)) {
		snprintf(why, why_len, "the request has a zero byte in it: "
			 "send text");
		return -EINVAL;
	}
	text = ascii_of(line, len, &bad);
	if (!text) {
		snprintf(why, why_len, bad == len ? "out of memory" :
			 "the request is not understood at byte "
			 "%zu (invalid utf-8 string): send one JSON object in "
			 "one line, as in " EXAMPLE, bad);
		return -EINVAL;
	}
	obj = parse_object(text, strlen(text), why, why_len);
	free(text);
	if (!obj)
		return -EINVAL;
	if (!check_object(obj, why, why_len)) {
		json_object_put(obj);
		return -EINVAL;
	}
	*ret = obj;
	return 0;
}

static const char *request_text(struct json_object *request, const char *key)
{
	struct json_object *v;

	if (!json_object_object_get_ex(request, key, &v))
		return "";
	return json_object_get_string(v) ?: "null";
}

/* Whoever changes something is on record; unknown commands might. */
static void log_request(struct control_conn *conn, struct json_object *request)
{
	static const char *const looking[] = { "list", "show", "stats" };
	const char *command = request_text(request, "command");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(looking); i++)
		if (strcmp(command, looking[i]) == 0)
			return;
	if (!log_limit_ok(&conn->control->limit, "control"))
		return;
	log_info("control: '%.64s' guest '%.64s' device '%.512s' for uid %u, "
		 "pid %d", command, request_text(request, "guest"),
		 request_text(request, "device"), (unsigned int)conn->peer.uid,
		 (int)conn->peer.pid);
}

/* ---- a reply ---- */

/*
 * JSON has to be UTF-8, and what is quoted in it, a path, say, need not.
 * Return: the line with its newline, to be freed, or NULL: out of memory.
 */
static char *reply_line(struct json_object *reply, size_t *ret_len)
{
	const char *text;
	char *line = NULL;
	bool bad;
	FILE *f;

	text = json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE);
	f = text ? open_memstream(&line, ret_len) : NULL;
	if (!f)
		return NULL;
	log_print_visible(f, text, "\\\\x");
	(void)fputc('\n', f);		/* see ferror() */
	bad = ferror(f);
	if (fclose(f) != 0 || bad) {
		free(line);
		return NULL;
	}
	return line;
}

/* Adds to @obj what @key is to be, taken over.  Return: false: no memory. */
static bool add(struct json_object *obj, const char *key,
		struct json_object *value)
{
	if (value && json_object_object_add(obj, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static struct json_object *reply_make(bool ok, const char *key,
				      struct json_object *value)
{
	struct json_object *reply = json_object_new_object();

	if (reply && add(reply, "ok", json_object_new_boolean(ok))) {
		if (add(reply, key, value))
			return reply;
	} else {
		json_object_put(value);
	}
	json_object_put(reply);
	return NULL;
}

static struct json_object *reply_error(const char *error)
{
	return reply_make(false, "error", json_object_new_string(error));
}

/* ---- a connection ---- */

static void conn_close(struct control_conn *conn)
{
	size_t i;

	if (conn->call)
		conn->call->conn = NULL;
	for (i = 0; i < CONTROL_CONNECTIONS; i++)
		if (conn->control->conns[i] == conn)
			conn->control->conns[i] = NULL;
	loop_defer_cancel(&conn->work);
	loop_fd_del(conn->readable);
	loop_fd_del(conn->writable);
	loop_timer_del(conn->patience);
	close(conn->fd);
	free(conn->out);
	free(conn);
}

static void conn_enter(struct control_conn *conn, enum conn_state state)
{
	conn->state = state;
	if (state == CONN_CALLING)
		loop_timer_stop(conn->patience);
	else
		loop_timer_set(conn->patience, conn->control->patience_ms);
}

/* Takes over @reply; NULL: there was no memory for it. */
static void conn_reply(struct control_conn *conn, struct json_object *reply)
{
	char why[WHY_BYTES];

	conn->out = reply ? reply_line(reply, &conn->out_len) : NULL;
	json_object_put(reply);
	if (conn->out && conn->out_len > REPLY_BYTES) {
		free(conn->out);
		snprintf(why, sizeof(why), "the answer has %zu bytes, more "
			 "than %u: ask for one guest or device", conn->out_len,
			 REPLY_BYTES);
		reply = reply_error(why);
		conn->out = reply ? reply_line(reply, &conn->out_len) : NULL;
		json_object_put(reply);
	}
	if (!conn->out) {
		log_error("control: out of memory: a client is not answered");
		conn->out_len = 0;
		conn->last = true;
	}
	conn->out_done = 0;
	conn_enter(conn, CONN_WRITING);
	loop_defer(conn->control->loop, &conn->work);
}

static void conn_refuse(struct control_conn *conn, const char *why)
{
	conn_reply(conn, reply_error(why));
}

/* Return: 1 when all is sent, 0 when there is more, or a negative errno. */
static int conn_write(struct control_conn *conn)
{
	ssize_t n;
	int r;

	while (conn->out_done < conn->out_len) {
		n = send(conn->fd, conn->out + conn->out_done,
			 conn->out_len - conn->out_done,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		r = n < 0 ? -errno : 0;
		if (r == -EAGAIN)
			return 0;
		if (r < 0 && r != -EINTR)
			return r;
		conn->out_done += r < 0 ? 0 : (size_t)n;
	}
	free(conn->out);
	conn->out = NULL;
	return 1;
}

static void conn_advance(struct control_conn *conn);

static void conn_on_writable(void *arg)
{
	conn_advance(arg);
}

/* Return: 0, or a negative errno. */
static int conn_await_room(struct control_conn *conn)
{
	if (conn->writable) {
		loop_fd_resume(conn->writable);
		return 0;
	}
	return loop_fd_add_write(conn->control->loop, conn->fd,
				 conn_on_writable, conn, &conn->writable);
}

/* Sends what there is.  Return: is the connection still there? */
static bool conn_send(struct control_conn *conn)
{
	int r = conn_write(conn);

	if (r == 0)
		r = conn_await_room(conn);
	else if (r > 0 && conn->last)
		r = -ESHUTDOWN;
	else if (r > 0)
		conn_enter(conn, CONN_READING);
	if (r < 0) {
		conn_close(conn);
		return false;
	}
	if (conn->writable && conn->state != CONN_WRITING)
		loop_fd_pause(conn->writable);
	return true;
}

/* Takes the first @len bytes and a newline off the buffer. */
static void conn_forget(struct control_conn *conn, size_t len)
{
	conn->in_len -= len + 1;
	memmove(conn->in, conn->in + len + 1, conn->in_len);
	if (!conn->eof)
		loop_fd_resume(conn->readable);
}

/* The first @len bytes are a line: calls whoever is to handle it. */
static void conn_request(struct control_conn *conn, size_t len)
{
	struct control *control = conn->control;
	struct json_object *request;
	struct control_call *call;
	char why[WHY_BYTES];
	int r;

	r = control_parse(conn->in, len, &request, why, sizeof(why));
	conn_forget(conn, len);
	if (r < 0) {
		conn_refuse(conn, why);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call) {
		json_object_put(request);
		conn_refuse(conn, "out of memory");
		return;
	}
	log_request(conn, request);
	call->request = request;
	call->conn = conn;
	conn->call = call;
	conn_enter(conn, CONN_CALLING);
	control->handle(control->arg, call, request);
	/* conn may be gone, with all of control */
}

/* There is no whole line: will there be one? */
static void conn_check_rest(struct control_conn *conn)
{
	char why[WHY_BYTES];

	if (conn->in_len > CONTROL_REQUEST_BYTES) {
		snprintf(why, sizeof(why), "the request is too long: use up "
			 "to %d bytes in one line", CONTROL_REQUEST_BYTES);
		conn->last = true;
		conn_refuse(conn, why);
	} else if (conn->eof && conn->in_len) {
		conn->last = true;
		conn_refuse(conn, "the request has no end: send a newline");
	} else if (conn->eof) {
		conn_close(conn);
	}
}

/* Goes on from wherever the connection is; it may be gone then. */
static void conn_advance(struct control_conn *conn)
{
	const char *end;

	if (conn->state == CONN_WRITING && !conn_send(conn))
		return;
	if (conn->state != CONN_READING)
		return;
	end = memchr(conn->in, '\n', conn->in_len);
	if (end)
		conn_request(conn, (size_t)(end - conn->in));
	else
		conn_check_rest(conn);
}

static void conn_on_work(struct loop_work *work)
{
	conn_advance(container_of(work, struct control_conn, work));
}

/* Has it not only nothing more to say, but nobody to listen either? */
static bool conn_is_gone(const struct control_conn *conn)
{
	struct pollfd p = { .fd = conn->fd };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static void conn_on_readable(void *arg)
{
	struct control_conn *conn = arg;
	ssize_t n;

	n = recv(conn->fd, conn->in + conn->in_len,
		 sizeof(conn->in) - conn->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		conn->eof = true;
	else
		conn->in_len += (size_t)n;
	if (conn->eof && conn_is_gone(conn)) {
		conn_close(conn);
		return;
	}
	if (conn->eof || conn->in_len == sizeof(conn->in))
		loop_fd_pause(conn->readable);
	conn_advance(conn);
}

static void conn_on_patience(void *arg)
{
	conn_close(arg);
}

static int conn_watch(struct control_conn *conn)
{
	struct loop *loop = conn->control->loop;
	socklen_t len = sizeof(conn->peer);
	int r;

	if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &conn->peer,
		       &len) < 0)
		return -errno;
	r = loop_timer_add(loop, conn_on_patience, conn, &conn->patience);
	if (r < 0)
		return r;
	return loop_fd_add(loop, conn->fd, conn_on_readable, conn,
			   &conn->readable);
}

/* Takes over @fd, also on failure. */
static int conn_open(struct control *control, int fd,
		     struct control_conn **ret)
{
	struct control_conn *conn = calloc(1, sizeof(*conn));
	int r;

	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->control = control;
	conn->fd = fd;
	conn->work.fn = conn_on_work;
	r = conn_watch(conn);
	if (r < 0) {
		conn_close(conn);
		return r;
	}
	conn_enter(conn, CONN_READING);
	*ret = conn;
	return 0;
}

/* ---- calls ---- */

static void call_end(struct control_call *call, struct json_object *reply)
{
	if (call->conn) {
		call->conn->call = NULL;
		conn_reply(call->conn, reply);
	} else {
		json_object_put(reply);
	}
	json_object_put(call->request);
	free(call);
}

void control_answer(struct control_call *call, struct json_object *result)
{
	if (!result)
		result = json_object_new_object();
	call_end(call, reply_make(true, "result", result));
}

void control_refuse(struct control_call *call, const char *fmt, ...)
{
	char why[WHY_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	call_end(call, reply_error(why));
}

/* ---- the server ---- */

/* One too many: it is told, if it fits, which it does, and that is all. */
static void turn_away(int fd)
{
	char line[256];
	int n;

	n = snprintf(line, sizeof(line), "{\"ok\":false,\"error\":\"there are "
		     "%d connections already, which is all: try again "
		     "later\"}\n", CONTROL_CONNECTIONS);
	(void)send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static struct control_conn **control_free_slot(struct control *control)
{
	size_t i;

	for (i = 0; i < CONTROL_CONNECTIONS; i++)
		if (!control->conns[i])
			return &control->conns[i];
	return NULL;
}

static void control_on_again(void *arg)
{
	struct control *control = arg;

	loop_fd_resume(control->acceptable);
}

/* Whoever waits would have us called again at once, for nothing. */
static void control_pause(struct control *control, int err)
{
	if (log_limit_ok(&control->limit, "control"))
		log_warn("control: cannot take a connection: %s",
			 strerror(err));
	loop_fd_pause(control->acceptable);
	loop_timer_set(control->again, ACCEPT_PAUSE_MS);
}

static void control_on_acceptable(void *arg)
{
	struct control *control = arg;
	struct control_conn **slot;
	int fd, r;

	fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			control_pause(control, errno);
		return;
	}
	slot = control_free_slot(control);
	if (!slot) {
		turn_away(fd);
		return;
	}
	r = conn_open(control, fd, slot);
	if (r < 0 && log_limit_ok(&control->limit, "control"))
		log_warn("control: a connection is closed: %s", strerror(-r));
}

static int find_group(const char *group, gid_t *ret, char *why, size_t why_len)
{
	const struct group *gr = getgrnam(group);
	unsigned long v;
	char *end;

	if (gr) {
		*ret = gr->gr_gid;
		return 0;
	}
	errno = 0;
	v = strtoul(group, &end, 10);
	if (*group < '0' || *group > '9' || *end || errno || v >= UINT32_MAX) {
		snprintf(why, why_len, "control-group='%s': there is no such "
			 "group: use the name or the number of one", group);
		return -EINVAL;
	}
	*ret = (gid_t)v;
	return 0;
}

/* What is at the path, in words.  Return: a negative errno; 0: it is stale. */
static int refuse_path(int err, const char *path, char *why, size_t why_len)
{
	struct stat st;

	if (err == -ECONNREFUSED && lstat(path, &st) == 0 &&
	    S_ISSOCK(st.st_mode))
		return 0;
	if (err == -ECONNREFUSED)
		snprintf(why, why_len, "control socket '%s': there is "
			 "something else of that name: remove it", path);
	else if (err == -EADDRINUSE)
		snprintf(why, why_len, "control socket '%s': another "
			 "xen-virtiod is running: stop it first", path);
	else
		snprintf(why, why_len, "control socket '%s': %s", path,
			 strerror(-err));
	return err == -ECONNREFUSED ? -EEXIST : err;
}

/*
 * Makes way for our socket.  Whoever is connected to is alive, or has a queue
 * that is full; nobody but a listener refuses nobody.
 */
static int clear_path(const struct sockaddr_un *addr, char *why,
		      size_t why_len)
{
	int fd, r;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return refuse_path(-errno, addr->sun_path, why, why_len);
	r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ?
		-errno : -EADDRINUSE;
	close(fd);
	if (r == -ENOENT)
		return 0;
	if (r == -EAGAIN || r == -EPROTOTYPE)
		r = -EADDRINUSE;
	r = refuse_path(r, addr->sun_path, why, why_len);
	if (r == 0 && unlink(addr->sun_path) < 0)
		r = refuse_path(-errno, addr->sun_path, why, why_len);
	return r;
}

/* The last directory of @path, in case it is missing: /run starts empty. */
static int make_dir(const char *path, char *why, size_t why_len)
{
	char buf[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	const char *dir;
	int r;

	snprintf(buf, sizeof(buf), "%s", path);
	dir = dirname(buf);
	/* Made for root alone at first: the umask is not ours. */
	r = mkdir(dir, 0700) < 0 || chmod(dir, 0755) < 0 ? -errno : 0;
	if (r == 0 || r == -EEXIST)
		return 0;
	snprintf(why, why_len, "control socket '%s': the directory '%s' "
		 "cannot be made: %s", path, dir, strerror(-r));
	return r;
}

/*
 * The mode is set before there is a name, so that nobody is let in that should
 * not be, and group and mode before anybody can connect.
 */
static int control_bind(struct control *control, const gid_t *gid)
{
	const char *path = control->addr.sun_path;

	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
			     SOCK_NONBLOCK, 0);
	if (control->fd < 0 || fchmod(control->fd, 0600) < 0 ||
	    bind(control->fd, (struct sockaddr *)&control->addr,
		 sizeof(control->addr)) < 0)
		return -errno;
	control->bound = lstat(path, &control->st) == 0;
	if (!control->bound)
		return -errno;
	if (gid && (lchown(path, (uid_t)-1, *gid) < 0 ||
		    chmod(path, 0660) < 0))
		return -errno;
	return listen(control->fd, CONTROL_CONNECTIONS) < 0 ? -errno : 0;
}

static int control_watch(struct control *control)
{
	int r;

	r = loop_timer_add(control->loop, control_on_again, control,
			   &control->again);
	if (r < 0)
		return r;
	return loop_fd_add(control->loop, control->fd, control_on_acceptable,
			   control, &control->acceptable);
}

static int control_start(struct control *control, const gid_t *gid,
			 char *why, size_t why_len)
{
	const char *path = control->addr.sun_path;
	int r;

	r = make_dir(path, why, why_len);
	if (r == 0)
		r = clear_path(&control->addr, why, why_len);
	if (r < 0)
		return r;
	r = control_bind(control, gid);
	if (r == 0)
		r = control_watch(control);
	if (r < 0)
		return refuse_path(r, path, why, why_len);
	return 0;
}

int control_open(struct loop *loop, const char *path, const char *group,
		 control_fn handle, void *arg, struct control **ret,
		 char *why, size_t why_len)
{
	struct control *control;
	gid_t gid = 0;
	int r = 0;

	if (path[0] != '/' || strlen(path) >= sizeof(control->addr.sun_path)) {
		snprintf(why, why_len, "control socket '%s': use a whole path "
			 "of at most %zu bytes", path,
			 sizeof(control->addr.sun_path) - 1);
		return -EINVAL;
	}
	if (group)
		r = find_group(group, &gid, why, why_len);
	if (r < 0)
		return r;
	control = calloc(1, sizeof(*control));
	if (!control) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	control->loop = loop;
	control->addr.sun_family = AF_UNIX;
	strcpy(control->addr.sun_path, path);
	control->fd = -1;
	control->handle = handle;
	control->arg = arg;
	control->patience_ms = PATIENCE_MS;
	control->limit.burst = BURST_LINES;
	r = control_start(control, group ? &gid : NULL, why, why_len);
	if (r < 0) {
		control_close(control);		/* copes with a half-made one */
		return r;
	}
	*ret = control;
	return 0;
}

void control_close(struct control *control)
{
	struct stat st;
	size_t i;

	if (!control)
		return;
	for (i = 0; i < CONTROL_CONNECTIONS; i++)
		if (control->conns[i])
			conn_close(control->conns[i]);
	loop_fd_del(control->acceptable);
	loop_timer_del(control->again);
	/* It may be another's by now. */
	if (control->bound && lstat(control->addr.sun_path, &st) == 0 &&
	    st.st_dev == control->st.st_dev && st.st_ino == control->st.st_ino)
		(void)unlink(control->addr.sun_path);	/* next start does */
	if (control->fd >= 0)
		close(control->fd);
	free(control);
}

void control_set_patience(struct control *control, unsigned int ms)
{
	control->patience_ms = ms;
}
