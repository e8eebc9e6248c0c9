// Runs a kernel on the host: `host KERNEL FORM NUMBER... < f32 values > f32 values`. tests/integration/cuda_kernels.rs compiles it
// and says what each kernel takes.
#include "attention.cuh"

#include <cstdio>
#include <string>

typedef std::vector<float> Values;

static int padded(int columns) { return (columns + 7) / 8 * 8; }

// Values as a matrix with rows of whole groups. What lies behind a row is garbage here, as it is behind a product.
static Values rows_of_groups(const float *values, int rows, int columns) {
    const int width = padded(columns);
    Values matrix((size_t)rows * width, 7e7f);
    for (int row = 0; row < rows; row++) memcpy(&matrix[(size_t)row * width], values + (size_t)row * columns, columns * 4);
    return matrix;
}

static void fail(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(1);
}

// A matrix of any form, 16 bytes aligned.
struct Out {
    std::string form;
    int rows, columns, width;
    std::vector<Group> groups;
    Out(std::string form, int rows, int columns) : form(form), rows(rows), columns(columns), width(padded(columns)) {
        groups.assign((size_t)rows * width * (form == "split" ? 3 : 2) / 4 + 1, Group{{0xdddddddd, 0xdddddddd, 0xdddddddd, 0xdddddddd}});
    }
    void *data() { return groups.data(); }
    float at(int row, int column) {
        const float *f = (const float *)data() + (size_t)row * width;
        const u16 *h = (const u16 *)data() + (size_t)row * width * (form == "split" ? 3 : 1);
        if (form == "f32") return f[column];
        if (form == "bf16") return of_bf16(h[column]);
        if (form == "f16") return of_f16(h[column]);
        if (h[column] != h[2 * width + column]) fail("the third part is not the first");
        return of_f16(h[column]) + of_f16(h[width + column]);
    }
    void print(bool is_operand) {
        for (int row = 0; row < rows; row++) {
            Values line(columns);
            for (int c = 0; c < columns; c++) line[c] = at(row, c);
            for (int c = columns; c < width && is_operand; c++)
                if (at(row, c) != 0) fail("what lies behind a row is not zero");
            fwrite(line.data(), 4, columns, stdout);
        }
    }
};

template <class F> static void run(int blocks, int threads, F body) {
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) run_block(threads, body);
}

#define BY_FORM(call)                                                                                                  \
    if (form == "f32") { typedef F32 Form; call; }                                                                     \
    else if (form == "bf16") { typedef Bf16 Form; call; }                                                              \
    else if (form == "f16") { typedef F16 Form; call; }                                                                \
    else { typedef Split Form; call; }

static std::vector<u16> halves(const Values &values, bool bf16) {
    std::vector<u16> out;
    for (float v : values) out.push_back(bf16 ? to_bf16(v) : to_f16(v));
    return out;
}

// Numbers: heads, values of a head, warps (0: in f32), causal; then query, queries, key, keys of each group.
static void run_attention(const std::string &form, const std::vector<int> &n, const Values &values) {
    const int count = n[0], dim = n[1], warps = n[2], causal = n[3], width = count * dim;
    const int rows = (int)values.size() / (3 * width), together = warps ? warps * 16 : 16;
    const Values qkv = rows_of_groups(values.data(), rows, 3 * width);
    const std::vector<u16> half = halves(qkv, form != "f16");
    std::vector<Attending> groups;
    std::vector<Part> work;
    int results = 0;
    for (size_t i = 4; i + 3 < n.size(); i += 4) {
        groups.push_back({n[i], n[i + 1], n[i + 2], n[i + 3], causal, 0});
        for (int first = 0; first < n[i + 1]; first += together) work.push_back({(int)groups.size() - 1, first});
        results = n[i] + n[i + 1] > results ? n[i] + n[i + 1] : results;
    }
    Out out(form, results, width);
    const bool is_half = warps && form != "split";
    const void *data = is_half ? (const void *)half.data() : qkv.data();
    const Heads heads{data, data, out.data(), padded(3 * width), width, dim, 1.44269504f / sqrtf(dim)};
    for (blockIdx.y = 0; blockIdx.y < count; blockIdx.y++)
        run((int)work.size(), warps ? warps * 32 : THREADS, [&] {
#define RUN(D, WARPS)                                                                                                  \
    if (form == "bf16") attention_bf16_##D##_##WARPS(heads, groups.data(), work.data());                               \
    else if (form == "f16") attention_f16_##D##_##WARPS(heads, groups.data(), work.data());                            \
    else attention_split_##D##_##WARPS(heads, groups.data(), work.data());
            if (!warps) { BY_FORM(attention_f32<Form>(heads, groups.data(), work.data())) }
            else if (warps == 8 && dim <= 64) { RUN(64, 8) }
            else if (warps == 8) { RUN(80, 8) }
            else if (dim <= 32) { RUN(32, 4) }
            else if (dim <= 64) { RUN(64, 4) }
            else if (dim <= 80) { RUN(80, 4) }
            else if (dim <= 96) { RUN(96, 4) }
            else if (dim <= 112) { RUN(112, 4) }
            else { RUN(128, 4) }
        });
    out.print(false);
}

int main(int count, char **args) {
    if (count < 3) fail("host KERNEL FORM NUMBER...");
    const std::string kernel = args[1], form = args[2];
    std::vector<int> n;
    for (int i = 3; i < count; i++) n.push_back(atoi(args[i]));
    Values values;
    for (float v; fread(&v, 4, 1, stdin) == 1;) values.push_back(v);
    const float *v = values.data();
    if (kernel == "layer_norm") { // rows, columns; x, weight, bias, eps
        const Values x = rows_of_groups(v, n[0], n[1]), weight = rows_of_groups(v + n[0] * n[1], 1, n[1]),
                     bias = rows_of_groups(v + (n[0] + 1) * n[1], 1, n[1]);
        const float eps = v[(n[0] + 2) * n[1]];
        Out out(form, n[0], n[1]);
        run(n[0], THREADS, [&] {
            BY_FORM(layer_norm<Form>(x.data(), weight.data(), bias.data(), eps, n[1], out.width, out.data()))
        });
        out.print(true);
    } else if (kernel == "convert") { // rows, columns, nonlinearity, whether from halves; x
        const Values x = rows_of_groups(v, n[0], n[1]);
        const std::vector<u16> half = halves(x, form == "bf16");
        Out out(form, n[0], n[1]);
        run(n[0], THREADS, [&] {
            if (n[3] && form == "bf16") convert_bf16_bf16(half.data(), out.width, 1, n[2], n[1], out.width, out.data());
            else if (n[3]) convert_f16_f16(half.data(), out.width, 1, n[2], n[1], out.width, out.data());
            else { BY_FORM((convert<F32, Form>(x.data(), out.width, 1, n[2], n[1], out.width, out.data()))) }
        });
        out.print(true);
    } else if (kernel == "patches") { // patch; then width and height of each image; their bytes, and the table
        const int patch = n[0], columns = 3 * patch * patch;
        std::vector<Picture> pictures;
        std::vector<int> of;
        std::vector<u8> bytes;
        for (size_t i = 1; i + 1 < n.size(); i += 2) {
            pictures.push_back({bytes.size(), n[i], n[i] / patch, (int)of.size(), 0});
            of.insert(of.end(), (size_t)(n[i] / patch) * (n[i + 1] / patch), (int)pictures.size() - 1);
            for (int k = 0; k < n[i] * n[i + 1] * 3; k++) bytes.push_back((u8)*v++);
        }
        Out out(form, (int)of.size(), columns);
        run((int)of.size(), THREADS, [&] {
            BY_FORM(patches<Form>(bytes.data(), pictures.data(), of.data(), v, patch, columns, out.width, out.data()))
        });
        out.print(true);
    } else if (kernel == "add_positions") { // columns, rows of values, positions, resized ones; then from and place of each row
        const int width = n[0], rows = ((int)n.size() - 4) / 2;
        const std::vector<int> from(n.begin() + 4, n.begin() + 4 + rows), place(n.begin() + 4 + rows, n.end());
        const float *class_row = v + n[1] * width, *positions = class_row + width, *resized = positions + n[2] * width;
        Out out("f32", rows, width);
        run(rows, THREADS, [&] {
            add_positions(v, class_row, positions, resized, n[2], from.data(), place.data(), width, (float *)out.data());
        });
        out.print(false);
    } else if (kernel == "pick") { // columns; rows
        const std::vector<int> rows(n.begin() + 1, n.end());
        Out out("f32", (int)rows.size(), n[0]);
        run((int)rows.size(), THREADS, [&] { pick(v, rows.data(), n[0], (float *)out.data()); });
        out.print(false);
    } else if (kernel == "mean") { // columns; first and last of each item
        std::vector<int> first, last;
        for (size_t i = 1; i + 1 < n.size(); i += 2) first.push_back(n[i]), last.push_back(n[i + 1]);
        Out out("f32", (int)first.size(), n[0]);
        run((int)first.size(), THREADS, [&] { mean(v, first.data(), last.data(), n[0], (float *)out.data()); });
        out.print(false);
    } else if (kernel == "attention") {
        run_attention(form, n, values);
    } else {
        fail("there is no such kernel");
    }
    return 0;
}
