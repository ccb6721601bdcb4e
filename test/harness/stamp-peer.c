/*
 * A small STAMP (RFC 8762) peer, written from the RFC and sharing nothing with the TypeScript: it
 * keeps its own layout, clock, SHA-256 and HMAC, so that agreeing on the wire means something.
 *
 *   stamp-peer reflect ADDRESS PORT [KEYHEX]         stateful for one session; prints its port first
 *   stamp-peer send ADDRESS PORT COUNT [KEYHEX]      one line a probe: "SEQ REFLECTOR_SEQ RTT_NS RESIDENCE_NS"
 *                                                    or "SEQ lost" or "SEQ bad REASON"; exit 1 if any is not answered
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

typedef struct { uint32_t h[8]; uint64_t length; uint8_t block[64]; size_t used; } sha256;
static uint32_t K[64];

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* FIPS 180-4: the constants are the fractions of cube and square roots of the first primes. */
static uint32_t root_fraction(uint32_t prime, int cube) {
  unsigned __int128 low = 0, high = (unsigned __int128)1 << 37;
  while (high - low > 1) { /* largest x with (x / 2^32)^2 or ^3 <= prime */
    unsigned __int128 mid = (low + high) / 2, limit = prime;
    int fits = cube ? mid * mid * mid <= limit << 96 : mid * mid <= limit << 64;
    if (fits) low = mid; else high = mid;
  }
  return (uint32_t)low;
}

static void compress(sha256 *s) {
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)s->block[4 * i] << 24 | s->block[4 * i + 1] << 16 | s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
           (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(v, s->h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
    uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof v[0]);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha_start(sha256 *s) {
  memset(s, 0, sizeof *s);
  for (uint32_t prime = 2, n = 0; n < 64; prime++) {
    uint32_t d = 2;
    while (d * d <= prime && prime % d) d++;
    if (d * d <= prime) continue;
    if (n < 8) s->h[n] = root_fraction(prime, 0);
    K[n++] = root_fraction(prime, 1);
  }
}

static void sha_add(sha256 *s, const uint8_t *data, size_t n) {
  for (s->length += n; n--;) {
    s->block[s->used++] = *data++;
    if (s->used == 64) { compress(s); s->used = 0; }
  }
}

static void sha_end(sha256 *s, uint8_t out[32]) {
  uint64_t bits = s->length * 8;
  uint8_t one = 0x80, zero = 0, tail[8];
  sha_add(s, &one, 1);
  while (s->used != 56) sha_add(s, &zero, 1);
  for (int i = 0; i < 8; i++) tail[i] = bits >> (56 - 8 * i);
  sha_add(s, tail, 8);
  for (int i = 0; i < 32; i++) out[i] = s->h[i / 4] >> (24 - 8 * (i % 4));
}

/* Keys of at most 64 octets; over the first 96 octets of the packet, cut to 16. */
static void packet_hmac(const uint8_t *key, size_t key_length, const uint8_t *packet, uint8_t out[16]) {
  uint8_t pad[64], digest[32];
  sha256 s;
  for (int outer = 0; outer < 2; outer++) {
    for (size_t i = 0; i < 64; i++) pad[i] = (i < key_length ? key[i] : 0) ^ (outer ? 0x5c : 0x36);
    sha_start(&s);
    sha_add(&s, pad, 64);
    if (outer) sha_add(&s, digest, 32); else sha_add(&s, packet, 96);
    sha_end(&s, digest);
  }
  memcpy(out, digest, 16);
}

static uint64_t get(const uint8_t *p, int n) { uint64_t v = 0; while (n--) v = v << 8 | *p++; return v; }
static void put(uint8_t *p, uint64_t v, int n) { while (n--) { p[n] = (uint8_t)v; v >>= 8; } }

static uint64_t now_ns(clockid_t id) { struct timespec t; clock_gettime(id, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static uint64_t ntp_now(void) {
  uint64_t ns = now_ns(CLOCK_REALTIME);
  return (ns / 1000000000 + 2208988800u) << 32 | (uint32_t)(((__uint128_t)(ns % 1000000000) << 32) / 1000000000);
}

static uint8_t key[64];
static size_t key_length;
enum { ESTIMATE = 0x0f10 }; /* S 0, Z 0, scale 15, multiplier 16: 122 us */

static void reflect(int fd) {
  uint8_t in[2048], out[2048], mac[16];
  struct sockaddr_storage from;
  socklen_t from_length = sizeof from;
  for (uint32_t count = 0;; from_length = sizeof from) {
    ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_length);
    uint64_t received = ntp_now();
    size_t base = key_length ? 112 : 44;
    if (n < (ssize_t)base) continue;
    memcpy(out, in, n);
    memset(out, 0, base);
    put(out, count, 4);
    if (key_length) {
      packet_hmac(key, key_length, in, mac);
      if (memcmp(mac, in + 96, 16)) continue;
      put(out + 24, ESTIMATE, 2); memcpy(out + 26, in + 26, 2); put(out + 32, received, 8);
      memcpy(out + 48, in, 4); memcpy(out + 64, in + 16, 10); out[80] = 255;
      put(out + 16, ntp_now(), 8);
      packet_hmac(key, key_length, out, out + 96);
    } else {
      put(out + 12, ESTIMATE, 2); memcpy(out + 14, in + 14, 2); put(out + 16, received, 8);
      memcpy(out + 24, in, 4); memcpy(out + 28, in + 4, 10); out[40] = 255;
      put(out + 4, ntp_now(), 8);
    }
    sendto(fd, out, n, 0, (struct sockaddr *)&from, from_length);
    count++;
  }
}

static const char *check(const uint8_t *in, ssize_t n, const uint8_t *sent, size_t base) {
  uint8_t mac[16];
  int a = key_length > 0;
  if (n != (ssize_t)base) return "length";
  if (a) { packet_hmac(key, key_length, in, mac); if (memcmp(mac, in + 96, 16)) return "hmac"; }
  if (memcmp(in + (a ? 48 : 24), sent, 4)) return "sender-sequence";
  if (memcmp(in + (a ? 64 : 28), sent + (a ? 16 : 4), 10)) return "sender-timestamp-or-estimate";
  if (memcmp(in + (a ? 26 : 14), sent + (a ? 26 : 14), 2)) return "ssid";
  if (in[(a ? 25 : 13)] == 0) return "multiplier";
  static const int mbz[2][6][2] = {{{38, 2}, {41, 3}}, {{4, 12}, {28, 4}, {40, 8}, {52, 12}, {74, 6}, {81, 15}}};
  for (int i = 0; i < 6; i++)
    for (int j = 0; j < mbz[a][i][1]; j++) if (in[mbz[a][i][0] + j]) return "mbz";
  return NULL;
}

static int send_probes(int fd, const struct sockaddr *to, socklen_t to_length, uint32_t count) {
  int failures = 0, a = key_length > 0;
  size_t base = a ? 112 : 44;
  for (uint32_t sequence = 0; sequence < count; sequence++) {
    uint8_t out[112] = {0}, in[2048];
    put(out, sequence, 4);
    put(out + (a ? 24 : 12), ESTIMATE, 2);
    put(out + (a ? 26 : 14), 0x1234, 2);
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    put(out + (a ? 16 : 4), ntp_now(), 8);
    if (a) packet_hmac(key, key_length, out, out + 96);
    sendto(fd, out, base, 0, to, to_length);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, 2000) != 1) { printf("%u lost\n", sequence); failures++; continue; }
    ssize_t n = recv(fd, in, sizeof in, 0);
    uint64_t end = now_ns(CLOCK_MONOTONIC);
    const char *wrong = check(in, n, out, base);
    if (wrong) { printf("%u bad %s\n", sequence, wrong); failures++; continue; }
    uint64_t residence = get(in + (a ? 16 : 4), 8) - get(in + (a ? 32 : 16), 8);
    uint64_t residence_ns = (uint64_t)(((__uint128_t)residence * 1000000000) >> 32);
    printf("%u %u %llu %llu\n", sequence, (unsigned)get(in, 4), (unsigned long long)(end - start - residence_ns), (unsigned long long)residence_ns);
  }
  return failures > 0;
}

int main(int argc, char **argv) {
  int reflecting = argc > 1 && !strcmp(argv[1], "reflect");
  int key_at = reflecting ? 4 : 5;
  if (argc < key_at) return 2;
  for (const char *hex = argc > key_at ? argv[key_at] : ""; hex[0] && hex[1] && key_length < 64; hex += 2)
    sscanf(hex, "%2hhx", &key[key_length++]);
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[3]))};
  int is_v6 = inet_pton(AF_INET6, argv[2], &v6.sin6_addr) == 1;
  if (!is_v6 && inet_pton(AF_INET, argv[2], &v4.sin_addr) != 1) return 2;
  struct sockaddr *address = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
  socklen_t length = is_v6 ? sizeof v6 : sizeof v4;
  int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
  if (!reflecting) return send_probes(fd, address, length, strtoul(argv[4], NULL, 10));
  if (bind(fd, address, length) || getsockname(fd, address, &length)) return 3;
  printf("%d\n", ntohs(is_v6 ? v6.sin6_port : v4.sin_port));
  fflush(stdout);
  reflect(fd);
  return 0;
}
