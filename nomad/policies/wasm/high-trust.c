/* The policy of high-trust.json in C: many speak well of it, and little is lost on the way to it.
 *
 *   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--max-memory=4194304 -o high-trust.wasm high-trust.c
 *
 * The layout is docs/policy-wasm.md's, version 1. */
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

struct batch { u32 version, count, record_bytes, reserved; };
struct candidate {
  i64 latency_us, jitter_us, loss_ppm, queue_depth, price_microusd_per_gb, reputation_ppm, declared_reputation_ppm, workloads;
  u64 capabilities, flags, reserved;
  u32 node_at, node_bytes, datacenter_at, datacenter_bytes, capabilities_at, capabilities_bytes;
};
struct verdict { u32 pass, reason_at, reason_bytes, reserved; i64 score_ppm; };
struct result { u32 version, count; struct verdict verdicts[]; };

enum { VERIFIED = 1, UNKNOWN = -1, MIN_REPUTATION_PPM = 800000, MAX_LOSS_PPM = 5000, PAGE_BYTES = 65536 };

static const struct { u32 bytes; const char *text; } reasons[] = {
  {0, ""}, {12, "not verified"}, {21, "reputation is unknown"}, {20, "reputation under 0.8"}, {15, "loss is unknown"}, {14, "loss over 0.5%"},
};
enum { TEXT_BYTES = 12 + 21 + 20 + 15 + 14 };

extern unsigned char __heap_base;

/* A fresh instance serves each batch: nothing is ever freed. */
__attribute__((export_name("alloc"))) u32 alloc(u32 bytes) {
  static u32 top;
  if (top == 0) top = (u32)&__heap_base;
  u32 at = (top + 7u) & ~7u;
  top = at + bytes;
  u32 have = __builtin_wasm_memory_size(0) * PAGE_BYTES;
  if (top > have && __builtin_wasm_memory_grow(0, (top - have + PAGE_BYTES - 1) / PAGE_BYTES) == (u32)-1) __builtin_trap();
  return at;
}

static u32 judge(const struct candidate *node) {
  if (!(node->flags & VERIFIED)) return 1;
  if (node->reputation_ppm == UNKNOWN) return 2;
  if (node->reputation_ppm < MIN_REPUTATION_PPM) return 3;
  if (node->loss_ppm == UNKNOWN) return 4;
  if (node->loss_ppm > MAX_LOSS_PPM) return 5;
  return 0;
}

__attribute__((export_name("evaluate"))) u64 evaluate(u32 at, u32 length) {
  const struct batch *batch = (const struct batch *)at;
  u32 verdict_bytes = sizeof(struct result) + batch->count * sizeof(struct verdict);
  u32 bytes = verdict_bytes + TEXT_BYTES;
  struct result *out = (struct result *)alloc(bytes);
  out->version = 1;
  out->count = batch->count;
  u32 text_at[6], next = verdict_bytes;
  for (u32 r = 0; r < 6; r++) { /* each reason once: verdicts point at it */
    text_at[r] = next;
    for (u32 b = 0; b < reasons[r].bytes; b++) ((char *)out)[next++] = reasons[r].text[b];
  }
  for (u32 i = 0; i < batch->count; i++) {
    const struct candidate *node = (const struct candidate *)(at + sizeof(struct batch) + i * batch->record_bytes);
    u32 why = judge(node);
    struct verdict *verdict = &out->verdicts[i];
    verdict->pass = why == 0;
    verdict->reason_at = text_at[why];
    verdict->reason_bytes = reasons[why].bytes;
    verdict->reserved = 0;
    verdict->score_ppm = why == 0 ? node->reputation_ppm : 0;
  }
  (void)length;
  return (u64)(u32)out << 32 | bytes;
}
