/*
 * A wire between two TAP devices that loses and delays Ethernet frames at random, for kernels without netem:
 *
 *   lossy-wire TAP TAP LOSS_PERCENT JITTER_MS
 *
 * Clean at first; SIGUSR1 makes it bad, SIGUSR2 clean again. Each frame has a delay of its own, up to JITTER_MS, so that they
 * also overtake each other. The devices are made here and go with the process.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WAITING = 8192, FRAME_BYTES = 2048 };

struct frame {
  double due_ms;
  int to;
  ssize_t size;
  unsigned char bytes[FRAME_BYTES];
};

static struct frame waiting[MAX_WAITING];
static int count = 0;
static volatile sig_atomic_t bad = 0;

static void turn(int signal_number) { bad = signal_number == SIGUSR1; }

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int tap(const char *name) {
  struct ifreq request;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
    perror(name);
    exit(1);
  }
  return fd;
}

/* Frames that are due leave in the order of their times; the wait until the next, in milliseconds, or -1. */
static int deliver(void) {
  for (;;) {
    int first = -1;
    for (int i = 0; i < count; i++)
      if (first < 0 || waiting[i].due_ms < waiting[first].due_ms) first = i;
    if (first < 0) return -1;
    double left_ms = waiting[first].due_ms - now_ms();
    if (left_ms > 0) return (int)left_ms + 1;
    if (write(waiting[first].to, waiting[first].bytes, (size_t)waiting[first].size) < 0) {
      /* The device is full, or not up: lost, as on any wire. */
    }
    waiting[first] = waiting[--count];
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  double loss = atof(argv[3]) / 100, jitter_ms = atof(argv[4]);
  struct pollfd ends[2] = {{tap(argv[1]), POLLIN, 0}, {tap(argv[2]), POLLIN, 0}};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = turn;
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR2, &action, NULL);
  srandom(7);
  puts("ready");
  fflush(stdout);
  for (;;) {
    int timeout_ms = deliver();
    if (poll(ends, 2, timeout_ms) <= 0) continue; /* a signal, or frames are due */
    for (int side = 0; side < 2; side++) {
      struct frame *next = &waiting[count];
      while (count < MAX_WAITING && (next->size = read(ends[side].fd, next->bytes, FRAME_BYTES)) > 0) {
        if (bad && (double)random() / RAND_MAX < loss) continue;
        next->due_ms = now_ms() + (bad ? jitter_ms * (double)random() / RAND_MAX : 0);
        next->to = ends[1 - side].fd;
        next = &waiting[++count];
      }
    }
  }
}
