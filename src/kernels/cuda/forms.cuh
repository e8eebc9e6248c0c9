// The forms that values are stored in. A row has a whole number of groups of eight values; those behind its last value
// are zeros where a product reads them.
#pragma once
#include "device.cuh"

BODY u32 pair(u16 low, u16 high) { return (u32)low | (u32)high << 16; }

struct alignas(16) Group { // 16 bytes
    u32 words[4];
};

struct F32 {
    typedef float Value;
    static const int PARTS = 1;
    BODY static void load(const float *from, float (&v)[8]) {
        const float4 a = ((const float4 *)from)[0], b = ((const float4 *)from)[1];
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    }
    BODY static void store(float *to, int, const float (&v)[8]) {
        ((float4 *)to)[0] = make_float4(v[0], v[1], v[2], v[3]);
        ((float4 *)to)[1] = make_float4(v[4], v[5], v[6], v[7]);
    }
    BODY static void store_one(float *to, int, float v) { *to = v; }
};

// bf16 or f16.
template <u16 (*TO)(float), float (*OF)(u16)> struct Half {
    typedef u16 Value;
    static const int PARTS = 1;
    BODY static u32 two(float a, float b) { return pair(TO(a), TO(b)); }
    BODY static void load(const u16 *from, float (&v)[8]) {
        const Group group = *(const Group *)from;
        for (int i = 0; i < 4; i++) {
            v[2 * i] = OF((u16)(group.words[i] & 0xffff));
            v[2 * i + 1] = OF((u16)(group.words[i] >> 16));
        }
    }
    BODY static void store(u16 *to, int, const float (&v)[8]) {
        Group group;
        for (int i = 0; i < 4; i++) group.words[i] = two(v[2 * i], v[2 * i + 1]);
        *(Group *)to = group;
    }
    BODY static void store_pair(u16 *to, int, float a, float b) { *(u32 *)to = two(a, b); }
    BODY static void store_one(u16 *to, int, float v) { *to = TO(v); }
};

struct Bf16 : Half<to_bf16, of_bf16> {
    BODY static void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) { multiply_bf16(c, a, b0, b1); }
};
struct F16 : Half<to_f16, of_f16> {
    BODY static void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) { multiply_f16(c, a, b0, b1); }
};

// A value as the sum of two f16, high and low: 22 bits of it. A row is [high | low | high], each part of `width` values: its
// product with [high | high | low] is the three products that matter.
struct Split {
    typedef u16 Value;
    static const int PARTS = 3;
    BODY static void halves(float v, u16 &high, u16 &low) {
        // The low half takes over what the high one cannot hold, up to twice its largest value; then comes infinity.
        high = to_f16(v > 65504 ? 65504 : v < -65504 ? -65504 : v);
        low = to_f16(v - of_f16(high));
    }
    BODY static void two(float a, float b, u32 &high, u32 &low) {
        u16 ah, al, bh, bl;
        halves(a, ah, al), halves(b, bh, bl);
        high = pair(ah, bh), low = pair(al, bl);
    }
    BODY static void store(u16 *to, int width, const float (&v)[8]) {
        Group high, low;
        for (int i = 0; i < 4; i++) two(v[2 * i], v[2 * i + 1], high.words[i], low.words[i]);
        *(Group *)to = high;
        *(Group *)(to + width) = low;
        *(Group *)(to + 2 * width) = high;
    }
    BODY static void store_pair(u16 *to, int width, float a, float b) {
        u32 high, low;
        two(a, b, high, low);
        *(u32 *)to = high;
        *(u32 *)(to + width) = low;
        *(u32 *)(to + 2 * width) = high;
    }
    BODY static void store_one(u16 *to, int width, float v) {
        halves(v, to[0], to[width]);
        to[2 * width] = to[0];
    }
};
