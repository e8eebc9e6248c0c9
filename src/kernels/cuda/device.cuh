// The words that the kernels are written in, for nvcc. Without nvcc, host.h has the same words in ordinary C++.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define KERNEL extern "C" __global__
#define BODY __device__ __forceinline__
#define SHARED __align__(16) __shared__
#define AT_LEAST(threads, blocks) __launch_bounds__(threads, blocks)

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

// Halves are stored as their bits. CUDA 12.0 reinterprets those of bf16 only where the device has bf16.
BODY u16 to_bf16(float v) { return static_cast<__nv_bfloat16_raw>(__float2bfloat16_rn(v)).x; }
BODY float of_bf16(u16 bits) { return __bfloat162float(__nv_bfloat16_raw{bits}); }
BODY u16 to_f16(float v) { return __half_as_ushort(__float2half_rn(v)); }
BODY float of_f16(u16 bits) { return __half2float(__ushort_as_half(bits)); }

BODY float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
BODY float shuffle(float v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }
BODY void barrier() { __syncthreads(); }

BODY u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

// Copies 16 bytes to shared memory in the background.
BODY void copy16(void *to, const void *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(to)), "l"(from));
}
BODY void copies_end_group() { asm volatile("cp.async.commit_group;"); }
template <int N> BODY void copies_wait_but() { asm volatile("cp.async.wait_group %0;" ::"n"(N)); }

// Loads four 8 x 8 matrices of halves: lane l names row l % 8 of matrix l / 8.
BODY void load_matrices(u32 (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
}
BODY void load_matrices_transposed(u32 (&r)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row)));
}

// c [16, 8] += a [16, 16] b [16, 8], in the layout of mma.m16n8k16.
BODY void multiply_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
BODY void multiply_f16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else
#include "host.h"
#endif
