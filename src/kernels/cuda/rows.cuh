// Kernels of rows: a block of THREADS threads computes one row of the result. Every sum has one order, fixed by the row's length.
#pragma once
#include "forms.cuh"

static const int THREADS = 128;

// A row of a matrix whose rows have `width` values, a multiple of eight, in each part.
template <class Form> BODY typename Form::Value *row_of(void *matrix, int width, size_t row) {
    return (typename Form::Value *)matrix + row * width * Form::PARTS;
}
template <class Form> BODY const typename Form::Value *row_of(const void *matrix, int width, size_t row) {
    return (const typename Form::Value *)matrix + row * width * Form::PARTS;
}

// Zeros what lies behind the last of `columns` values.
BODY void trim(float (&v)[8], int first, int columns) {
    for (int i = 0; i < 8; i++)
        if (first + i >= columns) v[i] = 0;
}

// The sum over a block's threads; all of them get it.
BODY float block_sum(float v) {
    SHARED float sums[THREADS / 32];
    for (int mask = 16; mask > 0; mask /= 2) v += shuffle_xor(v, mask);
    barrier();
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = v;
    barrier();
    v = 0;
    for (int warp = 0; warp < THREADS / 32; warp++) v += sums[warp];
    return v;
}

// y = (x - mean) / sqrt(variance + eps) * weight + bias, with the variance in a second pass. x and y may be one matrix.
template <class Form>
BODY void layer_norm(const float *x, const float *weight, const float *bias, float eps, int columns, int width, void *y) {
    const float *row = row_of<F32>(x, width, blockIdx.x);
    float v[8], w[8], b[8], sum = 0;
    for (int c = threadIdx.x * 8; c < columns; c += THREADS * 8) {
        F32::load(row + c, v);
        trim(v, c, columns);
        for (int i = 0; i < 8; i++) sum += v[i];
    }
    const float mean = block_sum(sum) / columns;
    sum = 0;
    for (int c = threadIdx.x * 8; c < columns; c += THREADS * 8) {
        F32::load(row + c, v);
        for (int i = 0; i < 8; i++)
            if (c + i < columns) sum += (v[i] - mean) * (v[i] - mean);
    }
    const float scale = 1 / sqrtf(block_sum(sum) / columns + eps);
    auto *out = row_of<Form>(y, width, blockIdx.x);
    for (int c = threadIdx.x * 8; c < width; c += THREADS * 8) {
        F32::load(row + c, v), F32::load(weight + c, w), F32::load(bias + c, b);
        for (int i = 0; i < 8; i++) v[i] = (v[i] - mean) * scale * w[i] + b[i];
        trim(v, c, columns);
        Form::store(out + c, width, v);
    }
}

// The nonlinearities of spec.rs, by number.
enum { NONE, QUICK_GELU, GELU, GELU_TANH, RELU };

BODY float activated(int act, float v) {
    switch (act) {
    case QUICK_GELU: return v / (1 + expf(-1.702f * v));
    case GELU: return 0.5f * v * (1 + erff(v * 0.70710678118654752f));
    case GELU_TANH: return 0.5f * v * (1 + tanhf(0.79788456080286536f * (v + 0.044715f * v * v * v)));
    case RELU: return fmaxf(v, 0);
    default: return v;
    }
}

// Writes a matrix in another form, through a nonlinearity. `step` is 1; or 0, to write the first row of x again and again.
template <class From, class To>
BODY void convert(const void *x, int x_width, int step, int act, int columns, int width, void *y) {
    const auto *row = row_of<From>(x, x_width, (size_t)blockIdx.x * step);
    auto *out = row_of<To>(y, width, blockIdx.x);
    float v[8] = {};
    for (int c = threadIdx.x * 8; c < width; c += THREADS * 8) {
        if (c < columns) From::load(row + c, v);
        for (int i = 0; i < 8; i++) v[i] = activated(act, v[i]);
        trim(v, c, columns);
        To::store(out + c, width, v);
    }
}

// An image of a batch.
struct Picture {
    unsigned long long offset; // of its first byte
    int width;                 // in pixels
    int across;                // patches in a row of them
    int first;                 // the number of its first patch in the batch
    int unused;
};

// Normalises bytes and puts them into the order of a patch embedding's kernel, [3, P, P]: a row for each patch of a batch.
// `table` has the normalised value of each byte, [3, 256], and `of` the image of each patch.
template <class Form>
BODY void patches(const u8 *bytes, const Picture *pictures, const int *of, const float *table, int patch, int columns,
                  int width, void *y) {
    const Picture picture = pictures[of[blockIdx.x]];
    const int number = blockIdx.x - picture.first, top = number / picture.across * patch,
              left = number % picture.across * patch, area = patch * patch;
    const u8 *corner = bytes + picture.offset + ((size_t)top * picture.width + left) * 3;
    auto *out = row_of<Form>(y, width, blockIdx.x);
    float v[8];
    for (int c = threadIdx.x * 8; c < width; c += THREADS * 8) {
        for (int i = 0; i < 8; i++) {
            const int n = c + i, channel = n / area, at = n - channel * area, down = at / patch, across = at - down * patch;
            v[i] = n < columns
                       ? table[channel * 256 + corner[((size_t)down * picture.width + across) * 3 + channel]]
                       : 0;
        }
        Form::store(out + c, width, v);
    }
}

// x = value + position. `from` has the row of `values` for each row of x, or -1 for the class row; `place` has the row of its
// position, in `positions` or, from row `count` on, in `resized`.
KERNEL void add_positions(const float *values, const float *class_row, const float *positions, const float *resized,
                          int count, const int *from, const int *place, int width, float *x) {
    const int source = from[blockIdx.x], at = place[blockIdx.x];
    const float *value = source < 0 ? class_row : values + (size_t)source * width;
    const float *position = at < count ? positions + (size_t)at * width : resized + (size_t)(at - count) * width;
    float v[8], p[8];
    for (int c = threadIdx.x * 8; c < width; c += THREADS * 8) {
        F32::load(value + c, v), F32::load(position + c, p);
        for (int i = 0; i < 8; i++) v[i] += p[i];
        F32::store(x + (size_t)blockIdx.x * width + c, width, v);
    }
}

// y = rows of x.
KERNEL void pick(const float *x, const int *rows, int width, float *y) {
    float v[8];
    for (int c = threadIdx.x * 8; c < width; c += THREADS * 8) {
        F32::load(x + (size_t)rows[blockIdx.x] * width + c, v);
        F32::store(y + (size_t)blockIdx.x * width + c, width, v);
    }
}

// y = the mean of rows of x, from the first to before the last of each item.
KERNEL void mean(const float *x, const int *first, const int *last, int width, float *y) {
    const int begin = first[blockIdx.x], end = last[blockIdx.x];
    for (int c = threadIdx.x; c < width; c += THREADS) {
        float sum = 0;
        for (int row = begin; row < end; row++) sum += x[(size_t)row * width + c];
        y[(size_t)blockIdx.x * width + c] = sum / (end - begin);
    }
}

#define ROWS(name, Form)                                                                                              \
    KERNEL void layer_norm_##name(const float *x, const float *weight, const float *bias, float eps, int columns,       \
                                  int width, void *y) {                                                                \
        layer_norm<Form>(x, weight, bias, eps, columns, width, y);                                                     \
    }                                                                                                                  \
    KERNEL void patches_##name(const u8 *bytes, const Picture *pictures, const int *of, const float *table, int patch, \
                               int columns, int width, void *y) {                                                      \
        patches<Form>(bytes, pictures, of, table, patch, columns, width, y);                                           \
    }                                                                                                                  \
    KERNEL void convert_f32_##name(const void *x, int x_width, int step, int act, int columns, int width, void *y) {    \
        convert<F32, Form>(x, x_width, step, act, columns, width, y);                                                  \
    }
ROWS(f32, F32)
ROWS(bf16, Bf16)
ROWS(f16, F16)
ROWS(split, Split)
KERNEL void convert_bf16_bf16(const void *x, int x_width, int step, int act, int columns, int width, void *y) {
    convert<Bf16, Bf16>(x, x_width, step, act, columns, width, y);
}
KERNEL void convert_f16_f16(const void *x, int x_width, int step, int act, int columns, int width, void *y) {
    convert<F16, F16>(x, x_width, step, act, columns, width, y);
}
