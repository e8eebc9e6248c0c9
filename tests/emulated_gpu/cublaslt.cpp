// cuBLASLt on the CPU: what zsic calls of libcublasLt.so.13. It sums in f64, whatever is asked for. EMULATED_CUBLASLT_VERSION
// is the version that it claims, by default 130000. It has one algorithm, and looks at no preference.
#include "../../src/kernels/cuda/host.h"

#include <cstddef>

struct Stream;
// The driver's.
extern "C" int emulated_gpu_fault(const char *function);
extern "C" bool emulated_gpu_is_in_context();
extern "C" void emulated_gpu_check(const void *at, size_t bytes);
extern "C" void emulated_gpu_add(Stream *stream, std::function<void()> work);

#define EXPORT extern "C" __attribute__((visibility("default")))
// Begins a function, with the fault that was asked for: a status of cuBLASLt, or that it failed.
#define CALL                                                                                                           \
    if (const int code = emulated_gpu_fault(__func__)) return code < 20 ? code : EXECUTION_FAILED
#define CALL_IN_CONTEXT                                                                                                \
    CALL;                                                                                                              \
    if (!emulated_gpu_is_in_context()) return NOT_INITIALIZED

enum { OK = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum Type { F32 = 0, F16 = 2, BF16 = 14 };

struct Layout { Type type; uint64_t rows, columns; int64_t stride; }; // columns lie one behind the other
struct Product { int transposes_a; uint32_t epilogue; const void *bias; Type bias_type; };
struct Algorithm { uint64_t data[8]; };
struct Advice { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; };

static float at(const void *values, Type type, size_t index) {
    if (type == F32) return ((const float *)values)[index];
    return type == F16 ? of_f16(((const u16 *)values)[index]) : of_bf16(((const u16 *)values)[index]);
}
static void put(void *values, Type type, size_t index, float v) {
    if (type == F32) ((float *)values)[index] = v;
    else ((u16 *)values)[index] = type == F16 ? to_f16(v) : to_bf16(v);
}

// Returns whether zsic's kind of product has these layouts: a transposed A, and as many values to sum in A as in B.
static bool fits(const Product *product, const Layout *a, const Layout *b, const Layout *c, const Layout *d) {
    const auto is_layout = [](const Layout *l) { return l->stride >= (int64_t)l->rows; };
    return product->transposes_a == 1 && a->rows == b->rows && a->type == b->type && a->columns == d->rows &&
           b->columns == d->columns && c->rows == d->rows && c->type == d->type && is_layout(a) && is_layout(b) && is_layout(d);
}

EXPORT size_t cublasLtGetVersion() {
    const char *version = getenv("EMULATED_CUBLASLT_VERSION");
    return version ? atol(version) : 130000;
}
EXPORT int cublasLtCreate(void **out) {
    CALL_IN_CONTEXT;
    *out = new char;
    return OK;
}
EXPORT int cublasLtDestroy(void *handle) {
    if (!emulated_gpu_is_in_context()) abort(); // what a GPU would do is not known
    delete (char *)handle;
    return OK;
}
EXPORT int cublasLtMatmulDescCreate(Product **out, int, int) {
    CALL;
    *out = new Product{0, 1, nullptr, F32};
    return OK;
}
EXPORT int cublasLtMatmulDescDestroy(Product *product) {
    delete product;
    return OK;
}
EXPORT int cublasLtMatmulDescSetAttribute(Product *product, int attribute, const void *value, size_t) {
    CALL;
    switch (attribute) {
    case 3: product->transposes_a = *(const int *)value; return OK;
    case 7: product->epilogue = *(const uint32_t *)value; return OK;
    case 8: product->bias = *(void *const *)value; return OK;
    case 26: product->bias_type = *(const Type *)value; return OK;
    }
    return INVALID_VALUE;
}
EXPORT int cublasLtMatrixLayoutCreate(Layout **out, Type type, uint64_t rows, uint64_t columns, int64_t stride) {
    CALL;
    *out = new Layout{type, rows, columns, stride};
    return OK;
}
EXPORT int cublasLtMatrixLayoutDestroy(Layout *layout) {
    delete layout;
    return OK;
}
EXPORT int cublasLtMatmulPreferenceCreate(void **out) {
    CALL;
    *out = new char;
    return OK;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void *preference) {
    delete (char *)preference;
    return OK;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t) { CALL; return OK; }
EXPORT int cublasLtMatmulAlgoGetHeuristic(void *, const Product *product, const Layout *a, const Layout *b, const Layout *c,
                                          const Layout *d, void *, int, Advice *out, int *count) {
    CALL;
    *count = 0;
    if (!fits(product, a, b, c, d)) return NOT_SUPPORTED;
    *out = Advice{{{1}}, 0, OK, 1, {}};
    *count = 1;
    return OK;
}
static void multiply(const Product &product, float alpha, const void *a, const Layout &a_is, const void *b, const Layout &b_is,
                     float beta, const void *c, const Layout &c_is, void *d, const Layout &d_is) {
    const size_t inner = a_is.rows, LANES = 16;
    const auto check = [](const void *values, const Layout &is) {
        emulated_gpu_check(values, ((is.columns - 1) * is.stride + is.rows) * (is.type == F32 ? 4 : 2));
    };
    check(a, a_is), check(b, b_is), check(c, c_is), check(d, d_is);
    if (product.epilogue == 4) emulated_gpu_check(product.bias, d_is.rows * (product.bias_type == F32 ? 4 : 2));
    const auto values = [&](const void *from, const Layout &is) {
        std::vector<float> all(is.columns * inner);
        for (size_t column = 0; column < is.columns; column++)
            for (size_t k = 0; k < inner; k++) all[column * inner + k] = at(from, is.type, column * is.stride + k);
        return all;
    };
    const std::vector<float> left = values(a, a_is), right = values(b, b_is);
    for (size_t row = 0; row < d_is.columns; row++)
        for (size_t column = 0; column < d_is.rows; column++) {
            const float *x = &right[row * inner], *w = &left[column * inner];
            double sums[LANES] = {}, sum = 0;
            size_t k = 0;
            for (; k + LANES <= inner; k += LANES)
                for (size_t lane = 0; lane < LANES; lane++) sums[lane] += (double)x[k + lane] * w[k + lane];
            for (; k < inner; k++) sum += (double)x[k] * w[k];
            for (double lane : sums) sum += lane;
            sum *= alpha;
            const size_t index = row * d_is.stride + column;
            if (beta != 0) sum += beta * at(c, c_is.type, index);
            if (product.epilogue == 4) sum += at(product.bias, product.bias_type, column);
            put(d, d_is.type, index, (float)sum);
        }
}

EXPORT int cublasLtMatmul(void *, const Product *product, const float *alpha, const void *a, const Layout *a_is, const void *b,
                          const Layout *b_is, const float *beta, const void *c, const Layout *c_is, void *d, const Layout *d_is,
                          const Algorithm *algorithm, void *, size_t, Stream *stream) {
    CALL_IN_CONTEXT;
    if (!fits(product, a_is, b_is, c_is, d_is) || !algorithm || algorithm->data[0] != 1) return INVALID_VALUE;
    emulated_gpu_add(stream, [=, product = *product, a_is = *a_is, b_is = *b_is, c_is = *c_is, d_is = *d_is, alpha = *alpha,
                              beta = *beta] { multiply(product, alpha, a, a_is, b, b_is, beta, c, c_is, d, d_is); });
    return OK;
}
