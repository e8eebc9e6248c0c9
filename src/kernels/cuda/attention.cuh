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

// Attention on the matrix units. D is the dimension of a head, rounded up to 16; KEYS are walked over at a time.
template <class Type, class Source, class Form, int D, int KEYS, int WARPS>
BODY void attention(const Heads &heads, const Attending *groups, const Part *work) {
    typedef typename Source::Value Value;
    const int STRIDE = D + 8, TILE = KEYS * STRIDE, PARTS = Source::PARTS;
    SHARED u16 k_tiles[Source::STAGES][PARTS][TILE];
    SHARED u16 v_tiles[Source::STAGES][PARTS][TILE];
    const Part part = work[blockIdx.x];
    const Attending group = groups[part.group];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, quad = lane / 4, pair_of = lane % 4;
    const int stride = heads.stride, column = blockIdx.y * heads.dim;
    const Value *keys = (const Value *)heads.kv + (size_t)group.key * stride + heads.width + column;
    const Value *values = keys + heads.width;

    // The queries of this warp: rows quad and quad + 8 of its sixteen.
    const int first = part.first + warp * 16;
    u32 q[PARTS][D / 16][4];
    for (int k = 0; k < D / 16; k++)
        for (int i = 0; i < 4; i++) {
            const int row = first + quad + i % 2 * 8, at = k * 16 + pair_of * 2 + i / 2 * 8;
            u32 high = 0, low = 0;
            if (row < group.queries && at < heads.dim)
                operand((const Value *)heads.q + (size_t)(group.query + row) * stride + column, at, high, low);
            q[0][k][i] = high;
            if (PARTS == 2) q[PARTS - 1][k][i] = low;
        }

    const int last = part.first + WARPS * 16 < group.queries ? part.first + WARPS * 16 : group.queries;
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

    float o[D / 8][4] = {}, most[2] = {NEVER, NEVER}, sum[2] = {0, 0};
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
            float s[KEYS / 8][4];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n += 2) {
                for (int i = 0; i < 4; i++) s[n][i] = s[n + 1][i] = 0;
                if (n * 8 >= left) continue;
#pragma unroll
                for (int k = 0; k < D / 16; k++) {
                    const int at = (n * 8 + lane / 16 * 8 + lane % 8) * STRIDE + k * 16 + lane / 8 % 2 * 8;
                    u32 b[4];
                    load_matrices(b, k_tile + at);
                    Type::multiply(s[n], q[0][k], b[0], b[1]);
                    Type::multiply(s[n + 1], q[0][k], b[2], b[3]);
                    if (PARTS == 2) {
                        Type::multiply(s[n], q[PARTS - 1][k], b[0], b[1]);
                        Type::multiply(s[n + 1], q[PARTS - 1][k], b[2], b[3]);
                        load_matrices(b, k_tile + TILE + at);
                        Type::multiply(s[n], q[0][k], b[0], b[1]);
                        Type::multiply(s[n + 1], q[0][k], b[2], b[3]);
                    }
                }
            }
            // The softmax of what was seen so far: row quad has values 0 and 1, row quad + 8 has 2 and 3.
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = first + quad + half * 8;
                const int limit = (row < group.queries ? seen(group, row) : end) - tile * KEYS;
                float top = most[half];
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        float &score = s[n][half * 2 + i];
                        score = n * 8 + pair_of * 2 + i < limit ? score * heads.scale : NEVER;
                        top = fmaxf(top, score);
                    }
                top = fmaxf(top, shuffle_xor(top, 1));
                top = fmaxf(top, shuffle_xor(top, 2));
                const float shrink = exp2f(most[half] - top);
                most[half] = top;
                sum[half] *= shrink;
#pragma unroll
                for (int n = 0; n < D / 8; n++) o[n][half * 2] *= shrink, o[n][half * 2 + 1] *= shrink;
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        float &score = s[n][half * 2 + i];
                        score = score == NEVER ? 0 : exp2f(score - top);
                        sum[half] += score;
                    }
            }
#pragma unroll
            for (int k = 0; k < KEYS / 16; k++) {
                if (k * 16 >= left) continue;
                u32 p[PARTS][4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float *scores = &s[2 * k + i / 2][i % 2 * 2];
                    if (PARTS == 2) Split::two(scores[0], scores[1], p[0][i], p[PARTS - 1][i]);
                    else p[0][i] = Type::two(scores[0], scores[1]);
                }
#pragma unroll
                for (int n = 0; n < D / 8; n += 2) {
                    const int at = (k * 16 + lane / 8 % 2 * 8 + lane % 8) * STRIDE + n * 8 + lane / 16 * 8;
                    u32 b[4];
                    load_matrices_transposed(b, v_tile + at);
                    Type::multiply(o[n], p[0], b[0], b[1]);
                    Type::multiply(o[n + 1], p[0], b[2], b[3]);
                    if (PARTS == 2) {
                        Type::multiply(o[n], p[PARTS - 1], b[0], b[1]);
                        Type::multiply(o[n + 1], p[PARTS - 1], b[2], b[3]);
                        load_matrices_transposed(b, v_tile + TILE + at);
                        Type::multiply(o[n], p[0], b[0], b[1]);
                        Type::multiply(o[n + 1], p[0], b[2], b[3]);
                    }
                }
            }
        }
        barrier();
        if (Source::STAGES == 1 && tile + 1 < tiles) fetch(tile + 1);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        sum[half] += shuffle_xor(sum[half], 1);
        sum[half] += shuffle_xor(sum[half], 2);
        const int row = first + quad + half * 8;
        if (row >= group.queries) continue;
        auto *out = row_of<Form>(heads.out, heads.width, group.query + row) + column;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            const int at = n * 8 + pair_of * 2;
            if (at >= heads.dim) continue;
            Form::store_pair(out + at, heads.width, o[n][half * 2] / sum[half], o[n][half * 2 + 1] / sum[half]);
        }
    }
}

// Attention in f32, of heads of up to 128 values: a warp computes four queries, a lane the scores of one key in 32.
static const int WIDEST = 128, QUERIES = 4;

template <class Form> BODY void attention_f32(const Heads &heads, const Attending *groups, const Part *work) {
    SHARED float queries[THREADS / 32 * QUERIES][WIDEST];
    SHARED float k_tile[32][WIDEST + 1];
    SHARED float v_tile[32][WIDEST];
    const Part part = work[blockIdx.x];
    const Attending group = groups[part.group];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, dim = heads.dim;
    const int stride = heads.stride, column = blockIdx.y * dim, together = THREADS / 32 * QUERIES;
    const int width = (heads.width + 7) / 8 * 8;
    const float *keys = (const float *)heads.kv + (size_t)group.key * stride + heads.width + column;
    const float *values = keys + heads.width;
    for (int n = threadIdx.x; n < together * dim; n += THREADS) {
        const int row = part.first + n / dim;
        const float *from = (const float *)heads.q + (size_t)(group.query + row) * stride + column;
        queries[n / dim][n % dim] = row < group.queries ? from[n % dim] : 0;
    }
    const int last = part.first + together < group.queries ? part.first + together : group.queries;
    const int end = seen(group, last - 1), first = part.first + warp * QUERIES;
    float o[QUERIES][WIDEST / 32] = {}, most[QUERIES], sum[QUERIES];
    for (int q = 0; q < QUERIES; q++) most[q] = NEVER, sum[q] = 0;
    for (int tile = 0; tile < end; tile += 32) {
        barrier();
        for (int n = threadIdx.x; n < 32 * dim; n += THREADS) {
            const int key = tile + n / dim, at = n % dim;
            k_tile[n / dim][at] = key < end ? keys[(size_t)key * stride + at] : 0;
            v_tile[n / dim][at] = key < end ? values[(size_t)key * stride + at] : 0;
        }
        barrier();
        float s[QUERIES] = {0, 0, 0, 0};
        for (int i = 0; i < dim; i++)
#pragma unroll
            for (int q = 0; q < QUERIES; q++) s[q] += queries[warp * QUERIES + q][i] * k_tile[lane][i];
#pragma unroll
        for (int q = 0; q < QUERIES; q++) {
            const int limit = first + q < group.queries ? seen(group, first + q) : end;
            const float score = tile + lane < limit ? s[q] * heads.scale : NEVER;
            float top = score;
            for (int mask = 16; mask > 0; mask /= 2) top = fmaxf(top, shuffle_xor(top, mask));
            top = fmaxf(top, most[q]);
            const float shrink = exp2f(most[q] - top);
            most[q] = top;
            s[q] = score == NEVER ? 0 : exp2f(score - top);
            sum[q] = sum[q] * shrink + s[q];
#pragma unroll
            for (int i = 0; i < WIDEST / 32; i++) o[q][i] *= shrink;
        }
        for (int key = 0; key < 32; key++)
#pragma unroll
            for (int q = 0; q < QUERIES; q++) {
                const float p = shuffle(s[q], key);
#pragma unroll
                for (int i = 0; i < WIDEST / 32; i++)
                    if (lane + i * 32 < dim) o[q][i] += p * v_tile[key][lane + i * 32];
            }
    }
    for (int q = 0; q < QUERIES; q++) {
        for (int mask = 16; mask > 0; mask /= 2) sum[q] += shuffle_xor(sum[q], mask);
        if (first + q >= group.queries) continue;
        auto *out = row_of<Form>(heads.out, width, group.query + first + q) + column;
        if ((int)blockIdx.y == heads.width / dim - 1) // what fills the row's last group
            for (int c = dim + lane; c < dim + width - heads.width; c += 32) Form::store_one(out + c, width, 0);
        for (int i = 0; i < WIDEST / 32; i++)
            if (lane + i * 32 < dim) Form::store_one(out + lane + i * 32, width, o[q][i] / sum[q]);
    }
}

#define ATTENTION(name, Type, Source, Form, D, KEYS, WARPS, BLOCKS)                                                     \
    KERNEL void AT_LEAST(WARPS * 32, BLOCKS) attention_##name##_##D##_##WARPS(Heads heads, const Attending *groups, const Part *work) {              \
        attention<Type, Source, Form, D, KEYS, WARPS>(heads, groups, work);                                            \
    }
// Registers for so many blocks on a multiprocessor.
#define ATTENTIONS(D, KEYS, WARPS, BLOCKS)                                                                             \
    ATTENTION(bf16, Bf16, Copied, Bf16, D, KEYS, WARPS, BLOCKS)                                                        \
    ATTENTION(f16, F16, Copied, F16, D, KEYS, WARPS, BLOCKS)                                                           \
    ATTENTION(split, F16, Divided, Split, D, 32, WARPS, BLOCKS)
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800 // older matrix units multiply smaller blocks
ATTENTIONS(32, 64, 4, 4)
ATTENTIONS(64, 64, 4, 4)
ATTENTIONS(64, 64, 8, 2)
ATTENTIONS(80, 64, 4, 3)
ATTENTIONS(80, 64, 8, 1)
ATTENTIONS(96, 32, 4, 3)
ATTENTIONS(112, 32, 4, 2)
ATTENTIONS(128, 32, 4, 2)
#endif

#define ATTENTION_F32(name, Form)                                                                                      \
    KERNEL void attention_f32_##name(Heads heads, const Attending *groups, const Part *work) {                          \
        attention_f32<Form>(heads, groups, work);                                                                      \
    }
ATTENTION_F32(f32, F32)
ATTENTION_F32(bf16, Bf16)
ATTENTION_F32(f16, F16)
ATTENTION_F32(split, Split)
