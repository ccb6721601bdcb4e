/*
 * Round trips to a STAMP reflector (RFC 8762, unauthenticated) by the kernel's clock, as ping(8) takes them: the send
 * time is read right before sendto(2), the receive time is the kernel's own stamp of the packet (SO_TIMESTAMPNS). The
 * reflector's residence is subtracted, as in our prober. Paced, one probe in flight. No product code is in here.
 *
 *   udp-rtt ADDRESS PORT COUNT INTERVAL_US     one line a probe: "KERNEL_NS READ_NS", READ_NS by the clock after
 *                                              recvmsg(2) instead; last "cpu MICROSECONDS", this process's own
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 44, WAIT_MS = 1000 };

static int64_t ns_of(struct timespec t) { return t.tv_sec * 1000000000ll + t.tv_nsec; }
static int64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); return ns_of(t); }
static uint64_t get(const uint8_t *p, int n) { uint64_t v = 0; while (n--) v = v << 8 | *p++; return v; }

/* Octets of the answer, or -1; `kernel_ns` stays as it is where the packet has no stamp. */
static ssize_t receive(int fd, uint8_t *in, size_t size, int64_t *kernel_ns) {
  char control[128];
  struct iovec data = {in, size};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(fd, &message, 0);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
    struct timespec stamp;
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    *kernel_ns = ns_of(stamp);
  }
  return n;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
  int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on)) return 3;
  for (uint32_t sequence = 0, count = strtoul(argv[3], NULL, 10); sequence < count; sequence++) {
    usleep(atoi(argv[4]));
    uint8_t out[PACKET] = {sequence >> 24, sequence >> 16, sequence >> 8, sequence}, in[2048];
    out[12] = 0x0f, out[13] = 0x10; /* error estimate: S 0, Z 0, scale 15, multiplier 16 */
    int64_t sent = now_ns(), kernel = 0;
    if (sendto(fd, out, sizeof out, 0, (struct sockaddr *)&to, sizeof to) != PACKET) return 4;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, WAIT_MS) != 1) return 5;
    ssize_t n = receive(fd, in, sizeof in, &kernel);
    int64_t read = now_ns();
    if (n != PACKET || get(in + 24, 4) != sequence || !kernel) return 6;
    int64_t residence = (int64_t)(((__uint128_t)(get(in + 4, 8) - get(in + 16, 8)) * 1000000000) >> 32);
    printf("%lld %lld\n", (long long)(kernel - sent - residence), (long long)(read - sent - residence));
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("cpu %lld\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ll + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  return 0;
}
