// device.cuh's words in ordinary C++: a fiber plays each thread of a block, and waits at a barrier for the others of its block or
// its warp. It is as slow as it sounds, and computes what the device does.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <csetjmp>
#include <functional>
#include <ucontext.h>
#include <vector>

#define KERNEL static
#define BODY inline
#define SHARED alignas(16) static
#define AT_LEAST(threads, blocks)

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

struct float4 { float x, y, z, w; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct Dim { int x, y; };
static Dim threadIdx, blockIdx;

// A thread: it runs its part of one block, then of the next. Its stack, and where it goes on.
struct Fiber {
    ucontext_t start;
    std::vector<char> stack;
    jmp_buf next;
    bool begun = false, done = false;
};

// A block under way. `longjmp` switches between fibers: unlike `swapcontext`, it calls no system.
struct Fibers {
    std::vector<Fiber> all;
    jmp_buf scheduler;
    int now = 0, count = 0;
    std::function<void()> body;
};
static Fibers fibers;

inline void fiber_main() {
    for (;;) {
        fibers.body();
        Fiber &own = fibers.all[fibers.now];
        own.done = true;
        if (!_setjmp(own.next)) _longjmp(fibers.scheduler, 1);
    }
}

// Where threads wait for one another.
struct Gate {
    int arrived, generation;
};
static Gate block_gate, warp_gates[32];

inline void wait_at(Gate &gate, int count) {
    const int own = fibers.now, generation = gate.generation;
    if (++gate.arrived == count) {
        gate.arrived = 0, gate.generation++;
        return;
    }
    while (gate.generation == generation) {
        if (!_setjmp(fibers.all[own].next)) _longjmp(fibers.scheduler, 1);
        threadIdx.x = own;
    }
}
inline void barrier() { wait_at(block_gate, fibers.count); }
inline void warp_barrier() { wait_at(warp_gates[threadIdx.x / 32], 32); }

// Lets a thread run up to where it waits.
inline void resume(Fiber &fiber) {
    if (_setjmp(fibers.scheduler)) return;
    if (fiber.begun) _longjmp(fiber.next, 1);
    fiber.begun = true;
    setcontext(&fiber.start);
}

// Runs a block of `count` threads.
inline void run_block(int count, std::function<void()> body) {
    fibers.body = body, fibers.count = count;
    if ((int)fibers.all.size() < count) fibers.all.resize(count);
    for (int i = 0; i < count; i++) {
        Fiber &fiber = fibers.all[i];
        fiber.done = false;
        if (fiber.begun) continue;
        fiber.stack.resize(64 << 10);
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.data();
        fiber.start.uc_stack.ss_size = fiber.stack.size();
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, fiber_main, 0);
    }
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < count; i++)
            if (!fibers.all[i].done) {
                any = true, fibers.now = i, threadIdx.x = i;
                resume(fibers.all[i]);
            }
    }
}

template <class T> inline T of_bits(u32 bits) { T v; memcpy(&v, &bits, 4); return v; }
inline u32 bits_of(float v) { u32 bits; memcpy(&bits, &v, 4); return bits; }

inline u16 to_bf16(float v) {
    const u32 bits = bits_of(v);
    if (v != v) return 0x7fff;
    return (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline float of_bf16(u16 bits) { return of_bits<float>((u32)bits << 16); }
inline u16 to_f16(float v) {
    const _Float16 half = (_Float16)v;
    u16 bits;
    memcpy(&bits, &half, 2);
    return bits;
}
// The value of each f16, once: without instructions for it, the conversion is most of the work.
inline const float *f16_values() {
    static float values[1 << 16];
    for (int bits = 0; bits < 1 << 16; bits++) {
        const u16 word = (u16)bits;
        _Float16 half;
        memcpy(&half, &word, 2);
        values[bits] = (float)half;
    }
    return values;
}
static const float *const F16_VALUES = f16_values();
inline float of_f16(u16 bits) { return F16_VALUES[bits]; }

// What the lanes of each warp hand to one another.
static u32 handed[32][32][6];
static const void *addresses[32][32];

// Hands words to the warp's other lanes, and returns when all have: `handed[warp]` then holds those of every lane.
inline void hand(const u32 *words, int count) {
    memcpy(handed[threadIdx.x / 32][threadIdx.x % 32], words, count * 4);
    warp_barrier();
}

inline float shuffle(float v, int lane) {
    const u32 word = bits_of(v);
    hand(&word, 1);
    const float other = of_bits<float>(handed[threadIdx.x / 32][lane][0]);
    warp_barrier();
    return other;
}
inline float shuffle_xor(float v, int mask) { return shuffle(v, threadIdx.x % 32 ^ mask); }

inline void copy16(void *to, const void *from) { memcpy(to, from, 16); }
inline void copies_end_group() {}
template <int N> inline void copies_wait_but() {}

inline void load(u32 (&r)[4], const void *row, bool transposed) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    addresses[warp][lane] = row;
    warp_barrier();
    for (int matrix = 0; matrix < 4; matrix++) {
        u16 two[2];
        for (int i = 0; i < 2; i++) {
            const int down = transposed ? lane % 4 * 2 + i : lane / 4, across = transposed ? lane / 4 : lane % 4 * 2 + i;
            two[i] = ((const u16 *)addresses[warp][matrix * 8 + down])[across];
        }
        r[matrix] = two[0] | (u32)two[1] << 16;
    }
    warp_barrier();
}
inline void load_matrices(u32 (&r)[4], const void *row) { load(r, row, false); }
inline void load_matrices_transposed(u32 (&r)[4], const void *row) { load(r, row, true); }

inline void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1, float (*of)(u16)) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const u32 words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    hand(words, 6);
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        double sum = c[i];
        for (int k = 0; k < 16; k++) {
            const u32 left = handed[warp][row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
            const u32 right = handed[warp][column * 4 + k % 8 / 2][4 + k / 8];
            sum += (double)of((u16)(left >> k % 2 * 16)) * of((u16)(right >> k % 2 * 16));
        }
        c[i] = (float)sum;
    }
    warp_barrier();
}
inline void multiply_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) { multiply(c, a, b0, b1, of_bf16); }
inline void multiply_f16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) { multiply(c, a, b0, b1, of_f16); }
