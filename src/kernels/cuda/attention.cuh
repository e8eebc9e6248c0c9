// Attention of every (group, head): softmax(q k^T / sqrt(d)) v. A block computes some queries of one head; it walks along the
// group's keys once and never stores the scores. The bits of a query depend on its group alone.
#pragma once
#include "rows.cuh"

// Queries in sequence, and the rows whose keys and values they see, in sequence too.
struct Attending {
    int query, queries; // the first row of the queries, and how many there are
    int key, keys;
    int causal; // whether the queries are the last of the keys and see only keys up to their own
    int unused;
};

// The work of a block, but for the head, which is blockIdx.y.
struct Part {
    int group;
    int first; // of the group's queries
};

// Where the thirds of a row of [q | k | v] are, and what comes out.
struct Heads {
    const void *q, *kv; // the queries' rows, and the rows of keys and values; may be one matrix
    void *out;
    int stride; // values from one of these rows to the next
    int width;  // values in a third
    int dim;    // values in a head
    float scale; // of scores, for powers of two
};

static const float NEVER = -1e30f;

// Returns how many keys query `at` of a group sees.
BODY int seen(const Attending &group, int at) {
    return group.causal ? group.keys - group.queries + at + 1 : group.keys;
}

// Loads 8 values of a row of halves; zeros where there is no row.
struct Copied {
    static const int STAGES = 2, PARTS = 1;
    typedef u16 Value;
    BODY static void put(u16 *to, int, const u16 *from, bool is_there) {
        if (is_there) copy16(to, from);
        else *(Group *)to = Group{{0, 0, 0, 0}};
    }
};

// Loads 8 values of a row of f32 as high and low halves; the low ones lie `apart` values behind the high ones.
struct Divided {
    static const int STAGES = 1, PARTS = 2;
    typedef float Value;
    BODY static void put(u16 *to, int apart, const float *from, bool is_there) {
        float v[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (is_there) F32::load(from, v);
        Group high, low;
        for (int i = 0; i < 4; i++) Split::two(v[2 * i], v[2 * i + 1], high.words[i], low.words[i]);
        *(Group *)to = high;
        *(Group *)(to + apart) = low;
    }
};

// Two values of a row of queries as an operand: halves as they are, and f32 as high and low. Halves leave `low` alone.
BODY void operand(const u16 *row, int column, u32 &high, u32 &) { high = *(const u32 *)(row + column); }
BODY void operand(const float *row, int column, u32 &high, u32 &low) {
    Split::two(row[column], row[column + 1], high, low);
}

// Attention on the matrix units. D is the dimension of a head, rounded up to 16; KEYS are walked over at a time. Each of a
// block's warps computes TILES times 16 queries, with the keys and values that it has loaded once.
template <class Type, class Source, class Form, int D, int KEYS, int WARPS, int TILES>
BODY void attention(const Heads &heads, const Attending *groups, const Part *work) {
    typedef typename Source::Value Value;
    const int STRIDE = D + 8, TILE = KEYS * STRIDE, PARTS = Source::PARTS, TOGETHER = WARPS * TILES * 16;
    SHARED u16 k_tiles[Source::STAGES][PARTS][TILE];
    SHARED u16 v_tiles[Source::STAGES][PARTS][TILE];
    const Part part = work[blockIdx.x];
    const Attending group = groups[part.group];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, quad = lane / 4, pair_of = lane % 4;
    const int stride = heads.stride, column = blockIdx.y * heads.dim;
    const Value *keys = (const Value *)heads.kv + (size_t)group.key * stride + heads.width + column;
    const Value *values = keys + heads.width;

    // The queries of this warp: rows quad and quad + 8 of each sixteen.
    const int first = part.first + warp * TILES * 16;
    u32 q[TILES][PARTS][D / 16][4];
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int k = 0; k < D / 16; k++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = first + t * 16 + quad + i % 2 * 8, at = k * 16 + pair_of * 2 + i / 2 * 8;
                u32 high = 0, low = 0;
                if (row < group.queries && at < heads.dim)
                    operand((const Value *)heads.q + (size_t)(group.query + row) * stride + column, at, high, low);
                q[t][0][k][i] = high;
                if (PARTS == 2) q[t][PARTS - 1][k][i] = low;
            }

    const int last = part.first + TOGETHER < group.queries ? part.first + TOGETHER : group.queries;
    const int end = seen(group, last - 1), tiles = (end + KEYS - 1) / KEYS;
    auto fetch = [&](int tile) {
        for (int n = threadIdx.x; n < KEYS * (D / 8); n += WARPS * 32) {
            const int row = n / (D / 8), at = n % (D / 8) * 8, key = tile * KEYS + row;
            const bool is_there = key < end && at < heads.dim;
            const size_t from = is_there ? (size_t)key * stride + at : 0;
            const int to = row * STRIDE + at;
            Source::put(&k_tiles[tile % Source::STAGES][0][to], TILE, keys + from, is_there);
            Source::put(&v_tiles[tile % Source::STAGES][0][to], TILE, values + from, is_there);
        }
        copies_end_group();
    };

    float o[TILES][D / 8][4] = {}, most[TILES][2], sum[TILES][2];
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int half = 0; half < 2; half++) most[t][half] = NEVER, sum[t][half] = 0;
    fetch(0);
    for (int tile = 0; tile < tiles; tile++) {
        if (Source::STAGES == 2 && tile + 1 < tiles) {
            fetch(tile + 1);
            copies_wait_but<1>();
        } else {
            copies_wait_but<0>();
        }
        barrier();
        const u16 *k_tile = k_tiles[tile % Source::STAGES][0], *v_tile = v_tiles[tile % Source::STAGES][0];
        const int left = end - tile * KEYS; // keys of this tile
        if (first < group.queries) {
            float s[TILES][KEYS / 8][4];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2) {
#pragma unroll
                for (int t = 0; t < TILES; t++)
                    for (int i = 0; i < 4; i++) s[t][n][i] = s[t][n + 1][i] = 0;
                if (n * 8 >= left) continue;
#pragma unroll
                for (int k = 0; k < D / 16; k++) {
                    const int at = (n * 8 + lane / 16 * 8 + lane % 8) * STRIDE + k * 16 + lane / 8 % 2 * 8;
                    u32 b[4];
                    load_matrices(b, k_tile + at);
#pragma unroll
                    for (int t = 0; t < TILES; t++)
#pragma unroll
                        for (int part = 0; part < PARTS; part++) {
                            Type::multiply(s[t][n], q[t][part][k], b[0], b[1]);
                            Type::multiply(s[t][n + 1], q[t][part][k], b[2], b[3]);
                        }
                    if (PARTS == 2) {
                        load_matrices(b, k_tile + TILE + at);
#pragma unroll
                        for (int t = 0; t < TILES; t++) {
                            Type::multiply(s[t][n], q[t][0][k], b[0], b[1]);
                            Type::multiply(s[t][n + 1], q[t][0][k], b[2], b[3]);
                        }
                    }
                }
            }
            // Keys that a query does not see. Most tiles have none.
            if (left < KEYS || group.causal) {
#pragma unroll
                for (int t = 0; t < TILES; t++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int row = first + t * 16 + quad + half * 8;
                        const int limit = (row < group.queries ? seen(group, row) : end) - tile * KEYS;
#pragma unroll
                        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                            for (int i = 0; i < 2; i++)
                                if (n * 8 + pair_of * 2 + i >= limit) s[t][n][half * 2 + i] = NEVER;
                    }
            }
            // The softmax of what was seen so far: row quad has values 0 and 1, row quad + 8 has 2 and 3.
#pragma unroll
            for (int t = 0; t < TILES; t++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float top = most[t][half];
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++)
                        top = fmaxf(top, fmaxf(s[t][n][half * 2], s[t][n][half * 2 + 1]));
                    top = fmaxf(top, shuffle_xor(top, 1));
                    top = fmaxf(top, shuffle_xor(top, 2));
                    const float shrink = exp2_quick((most[t][half] - top) * heads.scale), down = top * heads.scale;
                    most[t][half] = top;
                    sum[t][half] *= shrink;
#pragma unroll
                    for (int n = 0; n < D / 8; n++) o[t][n][half * 2] *= shrink, o[t][n][half * 2 + 1] *= shrink;
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                        for (int i = 0; i < 2; i++) {
                            float &score = s[t][n][half * 2 + i];
                            score = exp2_quick(fmaf(score, heads.scale, -down));
                            sum[t][half] += score;
                        }
                }
#pragma unroll
            for (int k = 0; k < KEYS / 16; k++) {
                if (k * 16 >= left) continue;
                u32 p[TILES][PARTS][4];
#pragma unroll
                for (int t = 0; t < TILES; t++)
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const float *scores = &s[t][2 * k + i / 2][i % 2 * 2];
                        if (PARTS == 2) Split::two(scores[0], scores[1], p[t][0][i], p[t][PARTS - 1][i]);
                        else p[t][0][i] = Type::two(scores[0], scores[1]);
                    }
#pragma unroll
                for (int n = 0; n < D / 8; n += 2) {
                    const int at = (k * 16 + lane / 8 % 2 * 8 + lane % 8) * STRIDE + n * 8 + lane / 16 * 8;
                    u32 b[4];
                    load_matrices_transposed(b, v_tile + at);
#pragma unroll
                    for (int t = 0; t < TILES; t++)
#pragma unroll
                        for (int part = 0; part < PARTS; part++) {
                            Type::multiply(o[t][n], p[t][part], b[0], b[1]);
                            Type::multiply(o[t][n + 1], p[t][part], b[2], b[3]);
                        }
                    if (PARTS == 2) {
                        load_matrices_transposed(b, v_tile + TILE + at);
#pragma unroll
                        for (int t = 0; t < TILES; t++) {
                            Type::multiply(o[t][n], p[t][0], b[0], b[1]);
                            Type::multiply(o[t][n + 1], p[t][0], b[2], b[3]);
                        }
                    }
                }
            }
        }
        barrier();
        if (Source::STAGES == 1 && tile + 1 < tiles) fetch(tile + 1);
    }
#pragma unroll
    for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float all = sum[t][half];
            all += shuffle_xor(all, 1);
            all += shuffle_xor(all, 2);
            const int row = first + t * 16 + quad + half * 8;
            if (row >= group.queries) continue;
            auto *out = row_of<Form>(heads.out, heads.width, group.query + row) + column;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                const int at = n * 8 + pair_of * 2;
                if (at >= heads.dim) continue;
                Form::store_pair(out + at, heads.width, o[t][n][half * 2] / all, o[t][n][half * 2 + 1] / all);
            }
        }
}

// Attention in f32, of heads of up to D values: a thread computes the scores of four queries and four keys, and then
// D / 8 values of these queries. THREADS may be less than elsewhere.
template <class Form, int D, int THREADS>
BODY void attention_f32(const Heads &heads, const Attending *groups, const Part *work) {
    const int TOGETHER = THREADS / 8 * 4, KEYS = 32, STRIDE = TOGETHER + 4, KEY_STRIDE = KEYS + 4;
    SHARED float queries[D * STRIDE];     // [D, queries]
    SHARED float tile[D * KEY_STRIDE];    // keys [D, keys], then values [keys, D]
    SHARED float weights[KEYS * STRIDE];  // [keys, queries]
    const Part part = work[blockIdx.x];
    const Attending group = groups[part.group];
    const int x = threadIdx.x % 8, y = threadIdx.x / 8, dim = heads.dim;
    const int stride = heads.stride, column = blockIdx.y * dim, width = (heads.width + 7) / 8 * 8;
    const float *keys = (const float *)heads.kv + (size_t)group.key * stride + heads.width + column;
    const float *values = keys + heads.width;
    for (int n = threadIdx.x; n < TOGETHER * D; n += THREADS) {
        const int row = part.first + n / D, at = n % D;
        const float *from = (const float *)heads.q + (size_t)(group.query + row) * stride + column;
        queries[at * STRIDE + n / D] = row < group.queries && at < dim ? from[at] : 0;
    }
    const int last = part.first + TOGETHER < group.queries ? part.first + TOGETHER : group.queries;
    const int end = seen(group, last - 1), first = part.first + y * 4;
    float o[4][D / 8] = {}, most[4], sum[4];
#pragma unroll
    for (int q = 0; q < 4; q++) most[q] = NEVER, sum[q] = 0;
    for (int begin = 0; begin < end; begin += KEYS) {
        barrier();
        for (int n = threadIdx.x; n < KEYS * D; n += THREADS) {
            const int key = begin + n / D, at = n % D;
            tile[at * KEY_STRIDE + n / D] = key < end && at < dim ? keys[(size_t)key * stride + at] : 0;
        }
        barrier();
        float s[4][4] = {};
#pragma unroll 4
        for (int i = 0; i < dim; i++) {
            const float4 a = *(const float4 *)&queries[i * STRIDE + y * 4], b = *(const float4 *)&tile[i * KEY_STRIDE + x * 4];
            const float q[4] = {a.x, a.y, a.z, a.w}, k[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int row = 0; row < 4; row++)
#pragma unroll
                for (int key = 0; key < 4; key++) s[row][key] += q[row] * k[key];
        }
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const int limit = first + q < group.queries ? seen(group, first + q) : end;
            float top = NEVER;
#pragma unroll
            for (int key = 0; key < 4; key++) {
                s[q][key] = begin + x * 4 + key < limit ? s[q][key] * heads.scale : NEVER;
                top = fmaxf(top, s[q][key]);
            }
            for (int mask = 4; mask > 0; mask /= 2) top = fmaxf(top, shuffle_xor(top, mask));
            top = fmaxf(top, most[q]);
            const float shrink = exp2f(most[q] - top);
            most[q] = top;
            sum[q] *= shrink;
#pragma unroll
            for (int key = 0; key < 4; key++) {
                s[q][key] = s[q][key] == NEVER ? 0 : exp2f(s[q][key] - top);
                sum[q] += s[q][key];
            }
#pragma unroll
            for (int i = 0; i < D / 8; i++) o[q][i] *= shrink;
        }
#pragma unroll
        for (int key = 0; key < 4; key++)
            *(float4 *)&weights[(x * 4 + key) * STRIDE + y * 4] = make_float4(s[0][key], s[1][key], s[2][key], s[3][key]);
        barrier();
        for (int n = threadIdx.x; n < KEYS * D; n += THREADS) {
            const int key = begin + n / D, at = n % D;
            tile[n] = key < end && at < dim ? values[(size_t)key * stride + at] : 0;
        }
        barrier();
#pragma unroll 4
        for (int key = 0; key < KEYS; key++) {
            const float4 a = *(const float4 *)&weights[key * STRIDE + y * 4];
            const float p[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
            for (int i = 0; i < D / 32; i++) {
                const float4 v = *(const float4 *)&tile[key * D + i * 32 + x * 4];
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    o[q][i * 4] += p[q] * v.x, o[q][i * 4 + 1] += p[q] * v.y;
                    o[q][i * 4 + 2] += p[q] * v.z, o[q][i * 4 + 3] += p[q] * v.w;
                }
            }
        }
    }
#pragma unroll
    for (int q = 0; q < 4; q++) {
        for (int mask = 4; mask > 0; mask /= 2) sum[q] += shuffle_xor(sum[q], mask);
        if (first + q >= group.queries) continue;
        auto *out = row_of<Form>(heads.out, width, group.query + first + q) + column;
        if ((int)blockIdx.y == heads.width / dim - 1) // what fills the row's last group
            for (int c = dim + x; c < dim + width - heads.width; c += 8) Form::store_one(out + c, width, 0);
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            const int at = i / 4 * 32 + x * 4 + i % 4;
            if (at < dim) Form::store_one(out + at, width, o[q][i] / sum[q]);
        }
    }
}

#define ATTENTION(name, Type, Source, Form, D, KEYS, WARPS, TILES, BLOCKS)                                              \
    KERNEL void AT_LEAST(WARPS * 32, BLOCKS)                                                                           \
        attention_##name##_##D##_##WARPS##x##TILES(Heads heads, const Attending *groups, const Part *work) {             \
        attention<Type, Source, Form, D, KEYS, WARPS, TILES>(heads, groups, work);                                     \
    }
// Registers for so many blocks on a multiprocessor.
#define ATTENTIONS(D, KEYS, WARPS, TILES, BLOCKS)                                                                      \
    ATTENTION(bf16, Bf16, Copied, Bf16, D, KEYS, WARPS, TILES, BLOCKS)                                                 \
    ATTENTION(f16, F16, Copied, F16, D, KEYS, WARPS, TILES, BLOCKS)                                                    \
    ATTENTION(split, F16, Divided, Split, D, 32, WARPS, TILES, BLOCKS)
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800 // older matrix units multiply smaller blocks
ATTENTIONS(32, 64, 4, 1, 4)
ATTENTIONS(64, 64, 4, 1, 4)
ATTENTIONS(64, 64, 6, 1, 2)
ATTENTIONS(64, 64, 8, 1, 2)
ATTENTIONS(64, 64, 4, 2, 2)
ATTENTIONS(80, 32, 4, 1, 3)
ATTENTIONS(80, 32, 6, 1, 2)
ATTENTIONS(96, 32, 4, 1, 3)
ATTENTIONS(112, 32, 4, 1, 2)
ATTENTIONS(128, 32, 4, 1, 2)
#endif

#define ATTENTION_F32(name, Form)                                                                                      \
    KERNEL void attention_f32_##name##_64(Heads heads, const Attending *groups, const Part *work) {                     \
        attention_f32<Form, 64, 128>(heads, groups, work);                                                             \
    }                                                                                                                  \
    KERNEL void attention_f32_##name##_128(Heads heads, const Attending *groups, const Part *work) {                    \
        attention_f32<Form, 128, 64>(heads, groups, work);                                                             \
    }
ATTENTION_F32(f32, F32)
ATTENTION_F32(bf16, Bf16)
ATTENTION_F32(f16, F16)
ATTENTION_F32(split, Split)
