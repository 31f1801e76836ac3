/* SPDX-License-Identifier: Apache-2.0 */

/*
 * link_emulator - a wide-area link between two network namespaces
 *
 * The kernel can shape a rate but not every kernel can delay (no netem), so the lab's WAN is this
 * program: one TUN device in each namespace, and every IP packet that the kernel sends into one
 * comes out of the other after
 *
 *     random loss -> tail-drop queue -> serialiser at the link's rate -> propagation delay
 *
 * each direction for itself. A packet's time of arrival is known when it comes in: it leaves the
 * serialiser when the packets before it have left and its own bytes are sent, and arrives half a
 * round trip later. So one ring per direction, in order of arrival, holds both the queue and what
 * is "in the cable", and the loop only ever looks at the two oldest packets.
 *
 * Configuration, one "key value" per line, '#' starts a comment; SIGHUP reads it again, and a file
 * with a mistake in it changes nothing:
 *
 *     state        up | down       down = cut: nothing gets in, what is in the cable arrives
 *     rtt_ms       0 .. 10000      round-trip time; each direction gets half
 *     rate_mb_s    0 .. 10000      megabytes (10^6) of IP packets per second, 0 = no limit
 *     loss_percent 0 .. 100        of the packets in each direction
 *     queue_kb     1 .. 65536      bytes that may wait for the serialiser
 *
 * SIGUSR1 prints the counters; SIGTERM and SIGINT end it. It also ends by itself when its
 * configuration file is removed: the lab that owned the link is gone then.
 *
 * Limits: packets of at most PACKET_MAX bytes; RING_BYTES in queue and cable together per
 * direction, tail drop (counted) beyond. Accuracy: about TICK_NS when busy.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S    1000000000ULL
#define NS_PER_MS   1000000ULL
#define TICK_NS     400000L  /* pause between batches when busy: the most a delay is off by */
#define RETRY_NS    50000ULL /* the receiving device is full: try again this much later */
#define PACKET_MAX  65535
#define RING_BYTES  (64UL << 20)
#define BATCH_MAX   256 /* packets read from one side before the other gets its turn */
#define RECORD_SIZE sizeof(struct record)

/** struct link_conf - What the link is like, see the top of this file */
struct link_conf {
	bool up;
	double rtt_ms;
	double rate_mb_s;
	double loss_percent;
	double queue_kb;
};

/** struct record - Header of one packet in a ring; @len 0 marks "continue at the start" */
struct record {
	uint64_t due_ns;
	uint32_t len;
	uint32_t pad;
};

/** struct counters - What happened in one direction since the start */
struct counters {
	uint64_t packets;
	uint64_t bytes;
	uint64_t lost;       /* by loss_percent, and while the link was down */
	uint64_t queue_full; /* by tail drop */
	uint64_t backlog;    /* most bytes that ever waited for the serialiser */
};

/** struct direction - One way of the link */
struct direction {
	const char *name;
	int in;
	int out;
	char *ring;
	uint64_t head;    /* next to leave; both only grow, modulo RING_BYTES is the place */
	uint64_t tail;    /* next to be filled */
	uint64_t free_ns; /* when the serialiser has sent all that is in the ring */
	struct counters count;
};

/** struct emulator - The whole program */
struct emulator {
	const char *conf_path;
	struct link_conf conf;
	struct direction dir[2];
	int signals;
	int watch;
	bool quit;
};

/** now_ns() - Monotonic time. Return: nanoseconds */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/** report() - Say on stderr that @what failed, with errno. Return: -1, always */
static int report(const char *what, const char *name)
{
	fprintf(stderr, "link_emulator: %s %s: %s\n", what, name, strerror(errno));
	return -1;
}

/**
 * conf_number() - Parse a number within limits
 * @ret:	Set on success only
 * @text:	What to parse, whole
 * @min:	Least value allowed
 * @max:	Greatest value allowed
 *
 * Return: true if it is a number within limits
 */
static bool conf_number(double *ret, const char *text, double min, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= min && value <= max))
		return false;
	*ret = value;
	return true;
}

/** conf_set() - Take one "@key @value" over into @conf. Return: true if both make sense */
static bool conf_set(struct link_conf *conf, const char *key, const char *value)
{
	if (strcmp(key, "state") == 0) {
		conf->up = strcmp(value, "up") == 0;
		return conf->up || strcmp(value, "down") == 0;
	}
	if (strcmp(key, "rtt_ms") == 0)
		return conf_number(&conf->rtt_ms, value, 0, 10000);
	if (strcmp(key, "rate_mb_s") == 0)
		return conf_number(&conf->rate_mb_s, value, 0, 10000);
	if (strcmp(key, "loss_percent") == 0)
		return conf_number(&conf->loss_percent, value, 0, 100);
	if (strcmp(key, "queue_kb") == 0)
		return conf_number(&conf->queue_kb, value, 1, 65536);
	return false;
}

/**
 * conf_line() - Take one line of the configuration file over
 * @conf:	Changed by a good line
 * @line:	The line; blank ones and comments are good
 *
 * Return: true if the line makes sense
 */
static bool conf_line(struct link_conf *conf, char *line)
{
	char key[32];
	char value[32];
	char rest[2];
	int n;

	line[strcspn(line, "#\n")] = '\0';
	n = sscanf(line, "%31s %31s %1s", key, value, rest);
	return n <= 0 || (n == 2 && conf_set(conf, key, value));
}

/** conf_read() - Read the configuration again; on a mistake nothing changes. Return: 0 or -1 */
static int conf_read(struct emulator *em)
{
	struct link_conf conf = { .up = true, .queue_kb = 2048 };
	char line[128];
	int number = 0;
	FILE *f = fopen(em->conf_path, "re");

	if (!f)
		return report("cannot read", em->conf_path);
	while (fgets(line, sizeof(line), f)) {
		number++;
		if (conf_line(&conf, line))
			continue;
		fprintf(stderr, "link_emulator: %s line %d makes no sense\n", em->conf_path,
			number);
		fclose(f);
		return -1;
	}
	fclose(f);
	em->conf = conf;
	fprintf(stderr, "link %s: rtt %g ms, %g MB/s, loss %g %%, queue %g KB\n",
		conf.up ? "up" : "DOWN", conf.rtt_ms, conf.rate_mb_s, conf.loss_percent,
		conf.queue_kb);
	return 0;
}

/** counters_print() - Print what happened so far, one line per direction */
static void counters_print(const struct emulator *em)
{
	for (int i = 0; i < 2; i++) {
		const struct counters *c = &em->dir[i].count;

		fprintf(stderr, "%s packets=%ju bytes=%ju lost=%ju queue_full=%ju backlog=%ju\n",
			em->dir[i].name, (uintmax_t)c->packets, (uintmax_t)c->bytes,
			(uintmax_t)c->lost, (uintmax_t)c->queue_full, (uintmax_t)c->backlog);
	}
}

/**
 * tun_open() - Make a TUN device in a network namespace
 * @netns:	Path of the namespace; the calling process moves into it and stays
 * @name:	Name of the device there
 *
 * Return: file descriptor owned by the caller, or -1 (reported)
 */
static int tun_open(const char *netns, const char *name)
{
	struct ifreq req = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd;
	int ns = open(netns, O_RDONLY | O_CLOEXEC);

	if (ns < 0)
		return report("cannot open", netns);
	if (setns(ns, CLONE_NEWNET) < 0) {
		report("cannot enter", netns);
		close(ns);
		return -1;
	}
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return report("cannot open", "/dev/net/tun");
	memcpy(req.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	if (ioctl(fd, TUNSETIFF, &req) < 0) {
		report("cannot make device", name);
		close(fd);
		return -1;
	}
	return fd;
}

/** direction_init() - Reserve the ring; its pages are used as they fill. Return: 0 or -1 */
static int direction_init(struct direction *dir, const char *name, int in, int out)
{
	*dir = (struct direction){ .name = name, .in = in, .out = out };
	dir->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (dir->ring == MAP_FAILED)
		return report("no memory for", name);
	return 0;
}

/** record_space() - Bytes of ring that a packet of @len takes: header, data, kept aligned */
static uint64_t record_space(uint32_t len)
{
	return RECORD_SIZE + ((len + 15ULL) & ~15ULL);
}

/**
 * direction_drops() - Does this packet get lost before the serialiser?
 * @dir:	Direction, its counters are updated
 * @conf:	What the link is like
 * @len:	Bytes of the packet
 * @wait_ns:	How long it would wait for the serialiser
 *
 * Return: true if it is lost
 */
static bool direction_drops(struct direction *dir, const struct link_conf *conf, uint32_t len,
			    uint64_t wait_ns)
{
	/* MB/s is bytes per microsecond */
	uint64_t waiting = (uint64_t)((double)wait_ns / 1000.0 * conf->rate_mb_s);

	if (!conf->up || drand48() * 100 < conf->loss_percent) {
		dir->count.lost++;
		return true;
	}
	/* Twice: a record that does not fit before the ring's end begins again at its start. */
	if ((conf->rate_mb_s > 0 && (double)(waiting + len) > conf->queue_kb * 1024) ||
	    RING_BYTES - (dir->tail - dir->head) < 2 * record_space(PACKET_MAX)) {
		dir->count.queue_full++;
		return true;
	}
	if (waiting > dir->count.backlog)
		dir->count.backlog = waiting;
	return false;
}

/** direction_put() - Packet of @len bytes came in at @now: put it on its way, or lose it */
static void direction_put(struct direction *dir, const struct link_conf *conf, const char *packet,
			  uint32_t len, uint64_t now)
{
	uint64_t start = dir->free_ns > now ? dir->free_ns : now;
	uint64_t at = dir->tail % RING_BYTES;
	struct record rec = { .len = len };

	if (direction_drops(dir, conf, len, start - now))
		return;
	if (conf->rate_mb_s > 0)
		start += (uint64_t)(len * 1000.0 / conf->rate_mb_s);
	dir->free_ns = start;
	rec.due_ns = start + (uint64_t)(conf->rtt_ms / 2 * (double)NS_PER_MS);
	if (at + record_space(len) > RING_BYTES) {
		memcpy(dir->ring + at, &(struct record){ .len = 0 }, RECORD_SIZE);
		dir->tail += RING_BYTES - at;
		at = 0;
	}
	memcpy(dir->ring + at, &rec, RECORD_SIZE);
	memcpy(dir->ring + at + RECORD_SIZE, packet, len);
	dir->tail += record_space(len);
	dir->count.packets++;
	dir->count.bytes += len;
}

/**
 * direction_flush() - Deliver every packet whose time has come
 * @dir:	Direction
 * @now:	Present time
 *
 * A packet that the device refuses for another reason than being full (it is not up yet, say) is
 * gone, as it would be on a real link.
 *
 * Return: when the next one is due, or 0 if there is none
 */
static uint64_t direction_flush(struct direction *dir, uint64_t now)
{
	while (dir->head != dir->tail) {
		uint64_t at = dir->head % RING_BYTES;
		struct record rec;

		/* All records are 16-aligned, so a header always fits before the end. */
		memcpy(&rec, dir->ring + at, RECORD_SIZE);
		if (rec.len == 0) {
			dir->head += RING_BYTES - at;
			continue;
		}
		if (rec.due_ns > now)
			return rec.due_ns;
		if (write(dir->out, dir->ring + at + RECORD_SIZE, rec.len) < 0 && errno == EAGAIN)
			return now + RETRY_NS;
		dir->head += record_space(rec.len);
	}
	return 0;
}

/** direction_take() - Read what the kernel has sent. Return: number of packets */
static int direction_take(struct direction *dir, const struct link_conf *conf)
{
	char packet[PACKET_MAX];
	int n;

	for (n = 0; n < BATCH_MAX; n++) {
		ssize_t len = read(dir->in, packet, sizeof(packet));

		if (len <= 0)
			break;
		direction_put(dir, conf, packet, (uint32_t)len, now_ns());
	}
	return n;
}

/** signals_handle() - Act on the signals that have arrived */
static void signals_handle(struct emulator *em)
{
	struct signalfd_siginfo info;

	while (read(em->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			(void)conf_read(em); /* reported; the link stays as it was */
		else if (info.ssi_signo == SIGUSR1)
			counters_print(em);
		else
			em->quit = true;
	}
}

/** watch_handle() - End when the configuration file is gone and not merely replaced */
static void watch_handle(struct emulator *em)
{
	char events[4096];

	while (read(em->watch, events, sizeof(events)) > 0) {
		/* what happened does not matter, only what is there now */
	}
	if (access(em->conf_path, F_OK) < 0) {
		fprintf(stderr, "link_emulator: %s is gone, so am I\n", em->conf_path);
		em->quit = true;
	}
}

/**
 * emulator_wait() - Sleep until there is something to do
 * @em:		Emulator
 * @next:	When the next packet is due, 0 for never
 *
 * Return: nothing; signals and the watch are dealt with
 */
static void emulator_wait(struct emulator *em, uint64_t next)
{
	struct pollfd fds[] = {
		{ .fd = em->dir[0].in, .events = POLLIN },
		{ .fd = em->dir[1].in, .events = POLLIN },
		{ .fd = em->signals, .events = POLLIN },
		{ .fd = em->watch, .events = POLLIN },
	};
	uint64_t now = now_ns();
	uint64_t span = next > now ? next - now : 0;
	struct timespec until = { .tv_sec = (time_t)(span / NS_PER_S),
				  .tv_nsec = (long)(span % NS_PER_S) };

	if (ppoll(fds, 4, next != 0 ? &until : NULL, NULL) <= 0)
		return;
	if (fds[2].revents != 0)
		signals_handle(em);
	if (fds[3].revents != 0)
		watch_handle(em);
	if (((fds[0].revents | fds[1].revents) & (POLLERR | POLLNVAL)) != 0) {
		fprintf(stderr, "link_emulator: a network device is gone\n");
		em->quit = true;
	}
}

/** emulator_run() - Move packets until told to end */
static void emulator_run(struct emulator *em)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	int taken = 0;

	while (!em->quit) {
		uint64_t now = now_ns();
		uint64_t a = direction_flush(&em->dir[0], now);
		uint64_t b = direction_flush(&em->dir[1], now);

		/*
		 * Busy: nap, then take a batch, instead of waking for every packet. poll() comes
		 * in between with no wait, so that signals are never put off.
		 */
		if (taken > 1 && (a != 0 || b != 0)) {
			nanosleep(&tick, NULL);
			emulator_wait(em, 1);
		} else {
			emulator_wait(em, a == 0 || (b != 0 && b < a) ? b : a);
		}
		taken = direction_take(&em->dir[0], &em->conf);
		taken += direction_take(&em->dir[1], &em->conf);
	}
}

/** signals_open() - Turn the signals we act on into a descriptor. Return: descriptor or -1 */
static int signals_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return report("cannot block", "signals");
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? report("cannot make", "signalfd") : fd;
}

/** watch_open() - Watch @path for removal. Return: descriptor or -1 (reported) */
static int watch_open(const char *path)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return report("cannot make", "inotify");
	/* IN_ATTRIB: the link count drops at unlink, even while someone has the file open */
	if (inotify_add_watch(fd, path, IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB) < 0) {
		report("cannot watch", path);
		close(fd);
		return -1;
	}
	return fd;
}

/** be_punctual() - Ask for exact wake-ups: real-time scheduling, or else no timer slack */
static void be_punctual(void)
{
	const struct sched_param param = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_RR, &param) == 0)
		return;
	report("no real-time scheduling, delays may jitter:", "sched_setscheduler");
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

/** emulator_open() - Set everything up from the command line. Return: 0 or -1 (reported) */
static int emulator_open(struct emulator *em, char **argv)
{
	int a = tun_open(argv[1], argv[2]);
	int b = a < 0 ? -1 : tun_open(argv[3], argv[4]);

	if (b < 0)
		return -1;
	em->conf_path = argv[5];
	em->signals = signals_open();
	em->watch = watch_open(em->conf_path);
	if (em->signals < 0 || em->watch < 0 || conf_read(em) < 0 ||
	    direction_init(&em->dir[0], argv[2], a, b) < 0 ||
	    direction_init(&em->dir[1], argv[4], b, a) < 0)
		return -1;
	be_punctual();
	return 0;
}

/**
 * main() - link_emulator NETNS_A IF_A NETNS_B IF_B CONF
 * @argc:	6
 * @argv:	Paths of both namespaces, names of the devices to make there, configuration file
 *
 * Writes one line "ready" to stdout and closes it when both devices exist.
 *
 * Return: 0 after a signal or the removal of CONF, 1 on failure, 2 on wrong usage
 */
int main(int argc, char **argv)
{
	struct emulator em = { 0 };

	if (argc != 6) {
		fprintf(stderr, "usage: link_emulator NETNS_A IF_A NETNS_B IF_B CONF\n");
		return 2;
	}
	if (emulator_open(&em, argv) < 0)
		return 1;
	puts("ready");
	if (fclose(stdout) == EOF)
		report("cannot write to", "stdout");
	emulator_run(&em);
	counters_print(&em);
	return 0;
}
